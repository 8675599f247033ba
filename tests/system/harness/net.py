# net.py - a network of our own, so that runs side by side never meet and
# port 1109 and the services database are ours.
#
# enter() re-executes the program under `unshare`; where a container forbids
# that, it goes on with an address in 127/8 made of the pid and a preload
# library for the services database.
#
# SPDX-License-Identifier: MIT
import ctypes
import os
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.path.realpath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"

_MARK = "KPOP_TEST_NETWORK"
_PROBE = "ip link set lo up && mount --bind /etc/services /etc/services"


def _unshare():
    if os.getuid() == 0:
        return ["unshare", "-n", "-m"]
    return ["unshare", "--user", "--map-current-user", "--keep-caps",
            "-n", "-m"]


def enter():
    """Returns inside the network; call it before anything else."""
    os.environ["PATH"] = PATH
    if os.environ.get(_MARK):
        return
    probe = subprocess.run(_unshare() + ["sh", "-c", _PROBE],
                           stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)
    if probe.returncode != 0:
        os.environ[_MARK] = "preload"
        return
    os.environ[_MARK] = "namespace"
    os.execvp("unshare", _unshare() + [sys.executable] + sys.argv)


def is_private():
    return os.environ.get(_MARK) == "namespace"


def prepare(directory):
    """Brings lo up, puts kpop 1109/tcp into the services database and the
    machine's own name, without which fetchmail doesn't start, into hosts."""
    if not is_private():
        return
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    services = os.path.join(directory, "services")
    with open("/etc/services", encoding="ascii", errors="replace") as old:
        kept = [line for line in old if not line.startswith("kpop")]
    with open(services, "w", encoding="ascii", errors="replace") as new:
        new.writelines(kept)
        new.write("kpop\t\t1109/tcp\n")
    hosts = os.path.join(directory, "hosts")
    with open(hosts, "w", encoding="ascii") as new:
        new.write(f"127.0.0.1\tlocalhost {os.uname().nodename}\n")
    for path in (services, hosts):
        os.chmod(path, 0o644)
        subprocess.run(["mount", "--bind", path,
                        os.path.join("/etc", os.path.basename(path))],
                       check=True)
    if os.getuid() != 0:
        _drop_rights()


def _drop_rights():
    """The user namespace's rights are not for the programs under test."""
    PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
    ctypes.CDLL(None, use_errno=True).prctl(
        PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def address():
    """Where servers of this run listen."""
    if is_private():
        return "127.0.0.1"
    pid = os.getpid()
    return f"127.{80 + pid % 100}.{pid // 100 % 250 + 1}.9"


def host():
    """The name that clients connect to."""
    return "localhost" if is_private() else address()


def client_env():
    """What fetchmail needs to find the service."""
    if is_private():
        return {}
    return {"LD_PRELOAD": os.path.join(BUILD,
                                       "tests/lib/preload_services.so")}
