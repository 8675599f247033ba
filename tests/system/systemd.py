#!/usr/bin/env python3
# systemd.py - kpopd under a service manager: what it tells, sockets that it is
# given, workers that hang; and the units, which systemd itself looks at.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.realm import Realm  # noqa: E402
from harness.server import Kpopd, passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-systemd-")
counter = 0
UNITS = os.path.join(net.ROOT, "packaging/systemd")
SECURITY = 2.5  # what issue 6 allows

# In the place of systemd: opens the sockets and becomes kpopd.
GIVE = """
import os, socket, sys
names, words = sys.argv[1].split(":"), sys.argv[2:]
sockets = []
for word in names:
    kind, _, address = word.partition("@")
    if kind == "datagram":
        new = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        new.bind((address, 0))
    else:
        new = socket.socket(socket.AF_INET)
        new.bind((address, 0))
        if kind != "deaf":
            new.listen()
    sockets.append(os.dup(new.fileno()))
for i, fd in enumerate(sockets):
    os.dup2(fd, 30 + i)
for i in range(len(sockets)):
    os.dup2(30 + i, 3 + i)
    os.close(30 + i)
os.environ["LISTEN_PID"] = str(os.getpid() + int(os.environ["PID_OFF"]))
os.environ["LISTEN_FDS"] = str(len(sockets))
os.environ["LISTEN_FDNAMES"] = ":".join(
    word.partition("@")[0] for word in names)
os.execvp(words[0], words)
"""


@tap.helper
def before():
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)


@tap.helper
def after():
    scratch.cleanup()


@tap.helper
def place():
    global counter
    counter += 1
    return os.path.join(scratch.name, f"kpopd{counter}")


@contextlib.contextmanager
def with_realm(**keys):
    realm = Realm(place())
    try:
        with kpopd(realm=realm, **keys) as server:
            yield server
    finally:
        realm.stop()


@tap.helper
def kpopd(env=None, start=True, realm=None, **keys):
    directory = place()
    keys.setdefault("plaintext", "always")
    keys.setdefault("listen_pop3", f"{net.address()}:0")
    keys.setdefault("listen_kpop", "")
    server = Kpopd(directory, realm, env=env, start=False,
                   passwords="file:" + passwords(directory, "alice", "bob"),
                   **keys)
    for user in ("alice", "bob"):
        Maildir(server, user).fill(2)
    return server.start() if start else server


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, abstract=False):
        name = place() + ".notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name if abstract else name)
        if not abstract:
            os.chmod(name, 0o777)
        self.socket.settimeout(0.2)
        self.env = {"NOTIFY_SOCKET": "@" + name if abstract else name}
        self.heard = []

    def hear(self):
        with contextlib.suppress(TimeoutError, socket.timeout):
            for _ in range(100):
                self.heard.append(self.socket.recv(4096).decode())

    def await_(self, pattern, since=0):
        def find():
            self.hear()
            return re.search(pattern, "\n\n".join(self.heard[since:]), re.M)
        return tap.await_(find, lambda: f"{pattern} in {self.heard}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@contextlib.contextmanager
def wrapped(words):
    """kpopd is started by these."""
    old = os.environ.get("KPOP_WRAP", "")
    os.environ["KPOP_WRAP"] = words + " " + old
    try:
        yield
    finally:
        os.environ["KPOP_WRAP"] = old


def given(names, pid_off=0):
    """kpopd is started with these sockets."""
    return wrapped(f"env PID_OFF={pid_off} {sys.executable} -c '{GIVE}' "
                   f"{names}")


@tap.helper
def fails(server):
    """It does not start; what it said."""
    try:
        server.start()
    except tap.Failure:
        tap.equal(server.process.returncode, 1, "exit status")
        return server.log()
    server.stop()
    raise tap.Failure("kpopd has started")


# ---- what it tells ----

def start_reload_and_stop_are_told():
    with Manager() as manager, kpopd(env=manager.env) as server:
        manager.await_(r"^READY=1\nSTATUS=0 connections, 0 of them")
        with Pop3(server).login("alice"):
            manager.await_(r"^STATUS=1 connections, 0 of them before login$")
        since = len(manager.heard)
        server.reload()
        manager.await_(r"^RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=", since)
        manager.await_(r"^READY=1\n", since)
        since = len(manager.heard)
        server.stop()
        manager.await_(r"^STOPPING=1\nSTATUS=Ending \d+ connections", since)


def nothing_is_ready_before_all_processes_are():
    with Manager() as manager, kpopd(env=manager.env) as server:
        manager.await_(r"^READY=1$")
        tap.contains(server.log(), "event=process.ready")
        tap.true("READY=1" in manager.heard[0],
                 f"said first: {manager.heard}")


def refused_reload_is_ready_again_and_says_why():
    with Manager() as manager, kpopd(env=manager.env) as server:
        manager.await_(r"^READY=1$")
        since = len(manager.heard)
        server.configure(workers="many")
        server.reload()
        manager.await_(r"^READY=1\nSTATUS=The old configuration stays: "
                       r".*plugin\.conf:\d+: .*workers", since)


def failed_start_says_why():
    with Manager() as manager:
        server = kpopd(env=manager.env, start=False, workers="many")
        fails(server)
        manager.await_(r"^STATUS=.*plugin\.conf:\d+: .*workers")
        manager.hear()
        tap.true("READY" not in "".join(manager.heard), manager.heard)


def abstract_socket_is_told():
    with Manager(abstract=True) as manager, kpopd(env=manager.env):
        manager.await_(r"^READY=1$")


def manager_that_is_gone_stops_nothing():
    with Manager() as manager:
        server = kpopd(env=manager.env)
    with server, Pop3(server).login("alice") as client:
        server.reload()
        server.await_log(r"event=config\.reloaded")
        client.ok("STAT")


def watchdog_is_fed_while_nothing_happens():
    with Manager() as manager:
        with kpopd(env=dict(manager.env, WATCHDOG_USEC="400000")):
            manager.await_(r"^WATCHDOG=1$")
            for _ in range(3):
                manager.await_(r"^WATCHDOG=1$", len(manager.heard))


def watchdog_of_another_process_is_not_fed():
    with Manager() as manager:
        with kpopd(env=dict(manager.env, WATCHDOG_USEC="10000",
                            WATCHDOG_PID="1")) as server:
            server.reload()
            manager.await_(r"^RELOADING=1$")
        manager.hear()
        tap.true("WATCHDOG=1" not in manager.heard, manager.heard)


# ---- workers that hang ----

def worker_that_hangs_is_replaced_and_the_other_goes_on():
    with kpopd(worker_timeout=1 * tap.SLOW) as server:
        workers = server.children("worker")
        clients = [Pop3(server).login("alice"), Pop3(server).login("bob")]
        for client in clients:
            client.ok("DELE 1")
        server.kill(workers[0], signal.SIGSTOP)
        server.await_log(rf"event=process\.hung .*kind=worker "
                         rf"child={workers[0]} ", seconds=20)
        server.await_log(rf"event=process\.died .*child={workers[0]} "
                         r"signal=9")
        tap.await_(lambda: len(server.children("worker")) == 2,
                   "two workers again")
        tap.true(workers[1] in server.children("worker"), "the other lives")
        alive = 0
        for client in clients:
            with contextlib.suppress(OSError, tap.Failure):
                client.ok("NOOP")
                alive += 1
        tap.equal(alive, 1, "sessions of the other worker")
        for user in ("alice", "bob"):
            tap.equal(len(Maildir(server, user).names()), 2, user)
        for client in clients:
            client.close()


def master_that_was_stopped_judges_nobody():
    with kpopd(worker_timeout=3 * tap.SLOW) as server:
        workers = server.children("worker")
        master = server.process.pid
        # Its ping waits for the answer of a worker that cannot give one ...
        server.kill(workers[0], signal.SIGSTOP)
        until = time.monotonic() + 1.5 * tap.SLOW
        tap.await_(lambda: time.monotonic() > until, "it is asked")
        os.kill(master, signal.SIGSTOP)
        until += 3 * tap.SLOW
        tap.await_(lambda: time.monotonic() > until, "the limit is over")
        # ... and both go on together, as a frozen machine does.
        os.kill(workers[0], signal.SIGCONT)
        os.kill(master, signal.SIGCONT)
        with Pop3(server).login("alice") as client:
            client.ok("STAT")
        tap.equal(server.children("worker"), workers, "the same workers")
        tap.true("event=process.hung" not in server.log(), server.log())


def worker_timeout_of_none_replaces_nobody():
    with kpopd(worker_timeout=0) as server:
        workers = server.children("worker")
        server.kill(workers[0], signal.SIGSTOP)
        mark = server.mark()
        server.reload()
        server.await_log(r"event=process\.ready", mark)
        tap.true("event=process.hung" not in server.log(), server.log())
        server.kill(workers[0], signal.SIGCONT)


# ---- sockets that are given ----

def names_map_to_listeners_without_configuration():
    address = net.address()
    with given(f"pop3@{address}:kpop@{address}:pop3@{address}"), \
            with_realm(listen_pop3=None, listen_kpop=None) as server:
        found = re.findall(r"event=process\.listen .*service=(\w+) "
                           r"address=(\S+) port=(\d+)", server.log())
        tap.equal([row[0] for row in found], ["kpop", "pop3", "pop3"],
                  "listeners")
        tap.equal({row[1] for row in found}, {address}, "addresses")
        for service, _, port in found:
            if service != "pop3":
                continue
            server.ports["pop3"] = int(port)
            with Pop3(server).login("alice") as client:
                tap.equal(client.ok("STAT").split()[1], "2", "messages")


def given_sockets_replace_configured_ones_and_survive_a_reload():
    with given(f"pop3@{net.address()}"), \
            kpopd(listen_pop3=f"{net.address()}:1") as server:
        port = server.ports["pop3"]
        tap.true(port > 1, "not the configured one")
        mark = server.mark()
        server.reload()
        server.await_log(r"event=process\.ready", mark)
        server.await_log(rf"event=process\.listen .*port={port}\n", mark)
        with Pop3(server).login("alice") as client:
            client.ok("STAT")


def sockets_of_another_process_are_not_taken():
    with given(f"imap@{net.address()}", pid_off=1), kpopd() as server:
        with Pop3(server).login("alice") as client:
            client.ok("STAT")


def wrong_sockets_are_refused_with_what_to_do():
    for names, sentence in (
            (f"imap@{net.address()}", "FileDescriptorName="),
            (f"datagram@{net.address()}", "ListenStream="),
            (f"deaf@{net.address()}", "Accept=yes")):
        with given(names):
            server = kpopd(start=False)
            tap.contains(fails(server), sentence)


def systemd_itself_gives_a_socket():
    program = shutil.which("systemd-socket-activate")
    if not program:
        raise tap.Skip("systemd-socket-activate is not installed")
    if not net.is_private():
        raise tap.Skip("needs a port of its own")
    server = kpopd(start=False, listen_pop3=None)
    with wrapped(f"{program} -l {net.address()}:2110 --fdname=pop3"):
        server.spawn()
    with server:
        server.await_log("Listening on")
        tap.true("event=process" not in server.log(), "nobody runs yet")
        server.ports["pop3"] = 2110
        with Pop3(server).login("alice") as client:
            tap.equal(client.ok("STAT").split()[1], "2", "messages")


# ---- the units ----

@tap.helper
def tool(word):
    path = shutil.which(word)
    if not path:
        raise tap.Skip(f"{word} is not installed")
    return path


@tap.helper
def run(*words):
    done = subprocess.run(words, text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    tap.equal(done.returncode, 0, f"{words}: {done.stdout}")
    return done.stdout


def service_is_hardened():
    text = run(tool("systemd-analyze"), "security", "--offline=yes",
               "--no-pager", os.path.join(UNITS, "kpopd.service"))
    level = re.search(r"Overall exposure level for kpopd.service: ([\d.]+)",
                      text)
    tap.true(level, text)
    tap.true(float(level.group(1)) <= SECURITY, text)


def systemd_understands_every_unit():
    program = tool("systemd-analyze")
    folder = place()
    os.makedirs(folder)
    for name in sorted(os.listdir(UNITS)):
        with open(os.path.join(UNITS, name), encoding="ascii") as file:
            text = file.read()
        # Neither the program nor its manual is installed here.
        text = re.sub("^Documentation=.*\n", "", text, flags=re.M)
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(text.replace("/usr/sbin/kpopd",
                                    os.path.join(net.BUILD, "kpopd")))
    paths = [os.path.join(folder, name) for name in os.listdir(folder)]
    done = subprocess.run([program, "verify", "--man=no", *paths], text=True,
                          check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    ours = [line for line in done.stdout.splitlines() if "kpopd" in line]
    tap.equal(ours, [], "what systemd says")


def apparmor_understands_the_profile():
    program = tool("apparmor_parser")
    run(program, "--skip-kernel-load", "--skip-cache", "--skip-read-cache",
        "--warn=all", os.path.join(net.ROOT,
                                   "packaging/apparmor/usr.sbin.kpopd"))


@tap.helper
def make(*words):
    clean = {name: value for name, value in os.environ.items()
             if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        ["make", "-C", net.ROOT, f"BUILD={net.BUILD}", "-o", "all",
         "-o", "FORCE", *words], text=True, check=False, env=clean,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    tap.equal(done.returncode, 0, done.stdout)


@tap.helper
def files(folder):
    return {os.path.relpath(os.path.join(where, name), folder)
            for where, _, names in os.walk(folder) for name in names}


def install_keeps_to_its_prefix_and_a_changed_jail():
    root = place()
    words = (f"DESTDIR={root}", "prefix=/opt/kpop", "sysconfdir=/opt/etc")
    make("install", *words)
    found = files(root)
    tap.equal([name for name in found if not name.startswith("opt/")], [],
              "outside")
    wanted = {"opt/etc/fail2ban/filter.d/kpopd.conf",
              "opt/etc/fail2ban/jail.d/kpopd.conf",
              "opt/etc/apparmor.d/usr.sbin.kpopd",
              "opt/kpop/lib/sysusers.d/kpopd.conf",
              "opt/kpop/lib/tmpfiles.d/kpopd.conf"}
    wanted |= {"opt/kpop/lib/systemd/system/" + name
               for name in os.listdir(UNITS)}
    tap.equal(wanted - found, set(), "missing")
    unit = os.path.join(root, "opt/kpop/lib/systemd/system/kpopd.service")
    with open(unit, encoding="ascii") as file:
        tap.contains(file.read(), "ExecStart=/opt/kpop/sbin/kpopd\n")
    jail = os.path.join(root, "opt/etc/fail2ban/jail.d/kpopd.conf")
    with open(jail, "w", encoding="ascii") as file:
        file.write("[kpopd]\nenabled = true\n")
    make("install", *words)
    with open(jail, encoding="ascii") as file:
        tap.contains(file.read(), "enabled = true")
    make("uninstall", *words)
    tap.equal(files(root), {"opt/etc/fail2ban/jail.d/kpopd.conf"}, "left")


def users_and_folders_are_made():
    root = place()
    os.makedirs(os.path.join(root, "etc"))
    for kind in ("sysusers", "tmpfiles"):
        to = os.path.join(root, "usr/lib", kind + ".d")
        os.makedirs(to)
        shutil.copy(os.path.join(net.ROOT, "packaging", kind + ".d",
                                 "kpopd.conf"), to)
    run(tool("systemd-sysusers"), f"--root={root}")
    with open(os.path.join(root, "etc/passwd"), encoding="ascii") as file:
        made = {line.split(":")[0]: line.split(":") for line in file}
    for user in ("kpop", "kpop-auth"):
        tap.contains(made[user][6], "nologin")
    if os.getuid() != 0:
        raise tap.Skip("only root makes folders for others")
    run(tool("systemd-tmpfiles"), f"--root={root}", "--create")
    for path, mode, owner in (("var/lib/kpop", 0o755, 0),
                              ("var/vmail", 0o700, int(made["kpop"][2]))):
        status = os.stat(os.path.join(root, path))
        tap.equal(status.st_mode & 0o7777, mode, path)
        tap.equal(status.st_uid, owner, path)
    mail = os.path.join(root, "var/vmail")
    os.chmod(mail, 0o750)
    os.chown(mail, 1, 1)
    run(tool("systemd-tmpfiles"), f"--root={root}", "--create")
    status = os.stat(mail)
    tap.equal((status.st_mode & 0o7777, status.st_uid, status.st_gid),
              (0o750, 1, 1), "what the site has made of it")


def kpopd_needs_no_more_than_the_capabilities_of_its_unit():
    if os.getuid() != 0:
        raise tap.Skip("is not root")
    setpriv = tool("setpriv")
    with open(os.path.join(UNITS, "kpopd.service"),
              encoding="ascii") as file:
        allowed = re.findall(r"^CapabilityBoundingSet=(.*)$", file.read(),
                             re.M)
    names = [word.lower()[len("cap_"):] for word in
             " ".join(allowed).split()]
    realm = Realm(place())
    server = kpopd(realm=realm, start=False, listen_kpop="127.0.0.1:0",
                   listen_pop3=f"{net.address()}:"
                   + ("110" if net.is_private() else "0"))
    os.chown(server.state, 0, 0)
    os.chmod(server.state, 0o755)
    with wrapped(f"{setpriv} --no-new-privs --bounding-set=-all,+"
                 + ",+".join(names)):
        server.start()
    with contextlib.ExitStack() as stack:
        stack.callback(realm.stop)
        stack.enter_context(server)
        with open(f"/proc/{server.process.pid}/status",
                  encoding="ascii") as file:
            held = re.search(r"CapEff:\s*(\w+)", file.read()).group(1)
        tap.equal(bin(int(held, 16)).count("1"), len(names), "capabilities")
        with Pop3(server).login("alice") as client:
            client.ok("DELE 1")
            client.ok("QUIT")
        tap.equal(len(Maildir(server, "alice").names()), 1, "messages")


def kpopd_needs_no_more_than_the_system_calls_of_its_unit():
    tool("systemd-analyze")
    if os.getuid() != 0:
        raise tap.Skip("is not root")
    if os.environ.get("KPOP_CHECKER"):
        raise tap.Skip("sanitizers need more")
    server = kpopd(start=False)
    with wrapped(f"{sys.executable} {net.ROOT}/tests/lib"
                 f"/under_unit.py {UNITS}/kpopd.service"):
        server.start()
    with server, Pop3(server).login("alice") as client:
        tap.lacks(server.log(), "event=process.sandbox", "log")
        client.ok("DELE 1")
        client.ok("QUIT")
        server.reload()


if __name__ == "__main__":
    tap.main(globals(), before, after)
