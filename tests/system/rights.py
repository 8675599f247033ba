#!/usr/bin/env python3
# rights.py - what whoever takes over a process of kpopd can do: asked of the
# kernel, and tried by a debugger that makes the process do it.
# TIME-LIMIT: 180
#
# SPDX-License-Identifier: MIT
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request

from harness import net, tap

net.enter()

from harness import server as servers  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.realm import Realm  # noqa: E402
from harness.server import Kpopd, passwords, secrets  # noqa: E402
from harness.wire import Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-rights-")
realm = None
counter = 0

KINDS = ("worker", "metrics", "auth-krb", "auth-password")
# gdb calls them by these types: the C library here has no debug symbols.
INT = "(int (*)(long, long, long))"
make = os.O_RDWR | os.O_CREAT


@tap.helper
def before():
    global realm
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))


@tap.helper
def after():
    if realm:
        realm.stop()
    scratch.cleanup()


@tap.helper
def kpopd(env=None, start=True, **keys):
    global counter
    counter += 1
    directory = os.path.join(scratch.name, f"kpopd{counter}")
    keys = {"listen_pop3": f"{net.address()}:0", "plaintext": "always",
            "metrics": f"{net.address()}:0", "workers": 1,
            "auth_processes": 1, **keys}
    made = Kpopd(directory, realm, env=env, start=False,
                 passwords="file:" + passwords(directory, "alice"),
                 secrets="file:" + secrets(directory, "alice"), **keys)
    Maildir(made, "alice").fill(2)
    os.chmod(os.path.join(made.mail, "alice"), 0o700)
    return made.start() if start else made


@tap.helper
def needs_confinement():
    if os.environ.get("KPOP_CHECKER"):
        raise tap.Skip("processes that are looked at are not confined")
    if os.getuid() != 0:
        raise tap.Skip("only root has a debugger look at kpopd")
    if not shutil.which("gdb"):
        raise tap.Skip("gdb is missing")


# ---- the debugger ----

@tap.helper
def text(value):
    """A string in the memory of the process."""
    return f'(long)"{value}"'


@tap.helper
def call(name, *words):
    words = ", ".join(str(word) for word in (*words, 0, 0, 0)[:3])
    return f"({INT}{name})({words})"


@tap.helper
def try_in(pid, **calls):
    """Has the process make calls; {name: 0 or more, or the errno's name}."""
    script = ["set debuginfod enabled off", "set confirm off",
              f"attach {pid}"]
    for name, expression in calls.items():
        script += [f"set $got = {expression}",
                   "set $error = *((int *(*)(void))__errno_location)()",
                   f'printf "tried {name} %d %d\\n", $got, $error']
    script += ["detach", "quit"]
    words = ["gdb", "-nx", "-nh", "-batch"]
    for line in script:
        words += ["-ex", line]
    done = subprocess.run(words, text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60 * tap.SLOW)
    found = {name: got if int(got) >= 0 else errno.errorcode[int(error)]
             for name, got, error in re.findall(
                 r"^tried (\w+) (-?\d+) (\d+)$", done.stdout, re.M)}
    tap.equal(sorted(found), sorted(calls), "calls in\n" + done.stdout)
    return found


@tap.helper
def one(server, kind):
    """The pid of the one process of this kind, which answers pings: it waits
    in its loop and holds no lock."""
    return server.children(kind)[0]


@tap.helper
def are_refused(found, *names):
    for name in names:
        tap.true(found[name] in ("EACCES", "ENOSYS"),
                 f"{name} is refused: {found[name]}")


@tap.helper
def works(server):
    with Pop3(server) as client:
        client.ok("USER alice")
        client.ok("PASS alice-password")
        client.multi("RETR 1")
        client.ok("DELE 1")
        client.ok("QUIT")


# ---- tests ----

def kernel_says_that_processes_have_no_rights():
    needs_confinement()
    with kpopd() as server:
        # kpopd is ready before the process of the metrics is; who answers has
        # given up its rights.
        where = f"http://{net.address()}:{server.ports['metrics']}/metrics"
        with urllib.request.urlopen(where, timeout=20 * tap.SLOW) as answer:
            tap.contains(answer.read().decode(), "kpop_build_info")
        tap.show("process        uid groups caps no_new_privs seccomp core")
        for kind in KINDS:
            pid = one(server, kind)
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                said = dict(line.split(":\t", 1) for line in
                            file.read().splitlines() if ":\t" in line)
            with open(f"/proc/{pid}/limits", encoding="ascii") as file:
                core = re.search(r"Max core file size +(\d+) +(\d+)",
                                 file.read()).groups()
            uids = set(said["Uid"].split())
            tap.show(f"{kind:14} {' '.join(uids)} {said['Groups'].strip()} "
                     f"{said['CapEff']} {said['NoNewPrivs']} "
                     f"{said['Seccomp']} {core[0]}")
            tap.true(len(uids) == 1 and "0" not in uids, f"{kind}: {uids}")
            tap.lacks(said["Groups"].split(), "0", f"{kind}: groups")
            for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                tap.equal(int(said[caps], 16), 0, f"{kind}: {caps}")
            tap.equal(said["NoNewPrivs"], "1", f"{kind}: NoNewPrivs")
            tap.equal(said["Seccomp"], "2", f"{kind}: Seccomp")
            tap.equal(core, ("0", "0"), f"{kind}: core files")


def open_descriptors_are_those_of_the_table():
    needs_confinement()
    with kpopd() as server:
        works(server)
        for kind in KINDS:
            folder = f"/proc/{one(server, kind)}/fd"
            targets = [os.readlink(os.path.join(folder, fd))
                       for fd in os.listdir(folder)]
            files = {t for t in targets if t.startswith("/")}
            tap.true(files <= {"/dev/null", server.log_path},
                     f"{kind}: {files}")


def worker_reaches_the_mail_and_nothing_else():
    needs_confinement()
    with kpopd() as server:
        works(server)
        mail = os.path.join(server.mail, "alice")
        name = os.listdir(os.path.join(mail, "new"))[0]
        found = try_in(
            one(server, "worker"),
            folder=call("open", text(mail + "/new"), os.O_RDONLY),
            message=call("open", text(f"{mail}/new/{name}"), os.O_RDONLY),
            write=call("open", text(f"{mail}/new/{name}"), os.O_WRONLY),
            index=call("open", text(server.state + "/maildirs/x"), make,
                       0o600),
            keytab=call("open", text(server.keytab), os.O_RDONLY),
            passwords=call("open", text(server.keys["passwords"][5:]), 0),
            config=call("open", text(server.path), os.O_RDONLY),
            replay=call("open", text(server.keys["replay_cache"]), 0),
            passwd=call("open", text("/etc/passwd"), os.O_RDONLY),
            group=call("open", text("/etc/group"), os.O_RDONLY),
            new=call("open", text(mail + "/new/x"), make, 0o600),
            root=call("open", text("/"), os.O_RDONLY),
            proc=call("open", text("/proc/self/mem"), os.O_RDWR),
            temp=call("open", text("/tmp/kpop-rights"), make, 0o600),
            link=call("symlink", text("/etc/passwd"), text(mail + "/new/x")),
            mode=call("chmod", text(f"{mail}/new/{name}"), 0o777),
            tcp=call("socket", socket.AF_INET, socket.SOCK_STREAM),
            tcp6=call("socket", socket.AF_INET6, socket.SOCK_STREAM),
            local=call("socket", socket.AF_UNIX, socket.SOCK_STREAM),
            netlink=call("socket", socket.AF_NETLINK, socket.SOCK_RAW),
            fork=call("fork"),
            program=call("execl", text("/bin/true"), text("true")),
            trace=call("ptrace", 0),
            other=call("kill", os.getpid()),
            memory=call("mprotect", "((long)$pc & ~4095)", 4096, 7),
            user=call("setuid", 0),
        )
        tap.show(f"worker: {found}")
        for allowed in ("folder", "message", "index"):
            tap.true(isinstance(found[allowed], str)
                     and found[allowed].isdigit(), f"{allowed} is allowed")
        are_refused(found, *(set(found) - {"folder", "message", "index"}))
        works(server)


def without_sandbox_a_worker_reaches_more():
    """Else the test above would show nothing."""
    needs_confinement()
    with kpopd(sandbox="no") as server:
        found = try_in(
            one(server, "worker"),
            passwd=call("open", text("/etc/passwd"), os.O_RDONLY),
            tcp=call("socket", socket.AF_INET, socket.SOCK_STREAM),
            keytab=call("open", text(server.keytab), os.O_RDONLY))
        tap.true(found["passwd"].isdigit() and found["tcp"].isdigit(),
                 f"both work: {found}")
        tap.equal(found["keytab"], "EACCES", "the keytab")


def auth_process_has_no_network_and_starts_nothing():
    needs_confinement()
    with kpopd() as server:
        for kind in ("auth-krb", "auth-password"):
            found = try_in(
                one(server, kind),
                keytab=call("open", text(server.keytab), os.O_RDONLY),
                replay=call("open", text(server.keys["replay_cache"]),
                            os.O_RDWR),
                mail=call("open", text(server.mail + "/alice/new"), 0),
                control=call("open", text(server.state + "/control"), 2),
                hashes=call("open", text(server.keys["passwords"][5:]), 2),
                temp=call("open", text("/tmp/kpop-rights"), make, 0o600),
                tcp=call("socket", socket.AF_INET, socket.SOCK_STREAM),
                udp=call("socket", socket.AF_INET6, socket.SOCK_DGRAM),
                fork=call("fork"),
                program=call("execl", text("/bin/true"), text("true")),
                trace=call("ptrace", 0),
                other=call("kill", os.getpid()),
                user=call("setuid", 0))
            tap.show(f"{kind}: {found}")
            for allowed in ("keytab", "replay"):
                tap.true(found[allowed].isdigit(), f"{allowed} is allowed")
            are_refused(found, *(set(found) - {"keytab", "replay",
                                               "control"}))
            tap.true(not found["control"].isdigit(), found["control"])
        works(server)


def metrics_process_opens_nothing():
    needs_confinement()
    with kpopd() as server:
        found = try_in(
            one(server, "metrics"),
            root=call("open", text("/"), os.O_RDONLY),
            mail=call("open", text(server.mail + "/alice/new"), 0),
            passwd=call("open", text("/etc/passwd"), os.O_RDONLY),
            tcp=call("socket", socket.AF_INET, socket.SOCK_STREAM),
            fork=call("fork"))
        are_refused(found, *found)


def mail_behind_a_link_wants_its_folder_named():
    if os.environ.get("KPOP_CHECKER"):
        raise tap.Skip("processes that are looked at are not confined")
    elsewhere = os.path.join(scratch.name, "elsewhere")
    os.mkdir(elsewhere)
    server = kpopd(start=False)
    server.configure(store=f"maildir:{server.mail}/%u/Maildir")
    os.rename(os.path.join(server.mail, "alice"),
              os.path.join(elsewhere, "Maildir"))
    os.symlink(elsewhere, os.path.join(server.mail, "alice"))
    with server.start():
        if "event=process.sandbox" in server.log():
            raise tap.Skip("this kernel has no Landlock")
        mark = server.mark()
        with Pop3(server) as client:
            client.ok("USER alice")
            client.err("PASS alice-password", "-ERR [SYS/PERM]")
        server.await_log(r"event=store\.fail .*sandbox_paths", mark)
        server.configure(sandbox_paths=elsewhere)
        mark = server.mark()
        server.reload()
        server.await_log(r"event=process\.ready", mark)
        works(server)


def folder_that_vanished_opens_none_above_it():
    """A worker that comes later must not get what lies around it."""
    needs_confinement()
    elsewhere = os.path.join(scratch.name, "vanishes")
    os.mkdir(elsewhere)
    beside = os.path.join(scratch.name, "beside")
    with open(beside, "w", encoding="ascii"):
        pass
    with kpopd(sandbox_paths=elsewhere) as server:
        os.rmdir(elsewhere)
        mark = server.mark()
        os.kill(one(server, "worker"), signal.SIGKILL)
        server.await_log(r"event=process\.start .*kind=worker", mark)
        works(server)
        found = try_in(one(server, "worker"),
                       beside=call("open", text(beside), os.O_RDONLY))
        are_refused(found, "beside")


def kernel_without_landlock_is_told_and_works():
    needs_confinement()
    library = os.path.join(net.BUILD, "tests/lib/preload_kernel.so")
    with kpopd(env={"LD_PRELOAD": library}) as server:
        tap.equal(server.log().count("event=process.sandbox"), 1,
                  "lines that tell")
        works(server)
        found = try_in(
            one(server, "worker"),
            passwd=call("open", text("/etc/passwd"), os.O_RDONLY),
            tcp=call("socket", socket.AF_INET, socket.SOCK_STREAM))
        tap.true(found["passwd"].isdigit(), "only Landlock is missing")
        are_refused(found, "tcp")


tap.main(globals(), before, after)
