#!/usr/bin/env python3
# journal.py - the log in a real systemd-journald, that runs in a mount
# namespace of ours: asked for by `log = journal`, or found behind standard
# error as under systemd; journald that stops stops no session.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import base64
import contextlib
import glob
import json
import os
import signal
import socket
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.server import Kpopd, passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

DAEMON = "/usr/lib/systemd/systemd-journald"
STREAM = "/run/systemd/journal/stdout"
scratch = tempfile.TemporaryDirectory(prefix="kpop-journal-")
daemon = None


@tap.helper
def before():
    global daemon
    if not net.is_private() or os.getuid() != 0 \
            or not os.path.exists(DAEMON):
        return
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    # A /run of this mount namespace alone: the machine's journal is not ours.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs",
                    "/run"], check=True)
    os.makedirs("/run/systemd/journal")
    # It wants to see cgroups, which a chroot may lack.
    if not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2",
                        "/sys/fs/cgroup"], check=False,
                       stderr=subprocess.DEVNULL)
    started = subprocess.Popen([DAEMON], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    tap.await_(lambda: started.poll() is not None
               or glob.glob("/run/log/journal/*/system.journal"),
               "journald runs, or does not")
    if started.poll() is None:
        daemon = started


@tap.helper
def after():
    if daemon:
        daemon.kill()
        daemon.wait()
        subprocess.run(["umount", "/run"], check=False)
    scratch.cleanup()


@tap.helper
def entries(*matches):
    """What journald has: {field: value} each."""
    done = subprocess.run(
        ["journalctl", "-q", "-o", "json", "--all", "-D", "/run/log/journal",
         "SYSLOG_IDENTIFIER=kpopd", *matches], check=True,
        stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]


@tap.helper
def await_entry(*matches, count=1):
    return tap.await_(lambda: entries(*matches)[count - 1:],
                      lambda: f"{matches} in " + "\n".join(
                          e["MESSAGE"] for e in entries()[-20:]))[0]


class Journalled(Kpopd):
    """Its ports are in the journal, too.  With stream=True standard error is
    the journal's, as systemd connects it."""
    stream = False

    def spawn(self):
        if not daemon:
            raise tap.Skip("systemd-journald can't be run apart here")
        if not self.stream:
            super().spawn()
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.connect(STREAM)
            stream.sendall(b"kpopd\n\n6\n0\n0\n0\n0\n")
            st = os.fstat(stream.fileno())
            env = dict(os.environ, **self.env or {},
                       JOURNAL_STREAM=f"{st.st_dev}:{st.st_ino}")
            self.process = subprocess.Popen(
                [os.path.join(net.BUILD, "kpopd"), "-c", self.path], env=env,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=stream, cwd="/")

    def start(self):
        self.spawn()
        mine = f"_PID={self.process.pid}"
        await_entry(mine, "KPOP_EVENT=process.ready")
        port = await_entry(mine, "KPOP_EVENT=process.listen",
                           "KPOP_SERVICE=pop3")["KPOP_PORT"]
        self.ports["pop3"] = int(port)
        return self


@tap.helper
def kpopd(name, stream=False, **keys):
    directory = os.path.join(scratch.name, name)
    path = passwords(directory, "alice", "bob")
    server = Journalled(directory, start=False, listen_kpop="",
                        plaintext="always", passwords=f"file:{path}",
                        listen_pop3=f"{net.address()}:0", **keys)
    server.stream = stream
    for user in ("alice", "bob"):
        Maildir(server, user).fill(1)
    return server.start()


def fields_of_a_hostile_name_are_its_own_and_no_others():
    with kpopd("fields", log="journal") as server, Pop3(server) as stranger:
        name = b"\0a \"\\b\nKPOP_USER=forged\nMESSAGE=forged event=x\0wrong"
        stranger.err("AUTH PLAIN " + base64.b64encode(name).decode())
        stranger.ok('USER a" event=forged x="')
        stranger.err("PASS wrong")
        claimed = await_entry("KPOP_EVENT=auth.fail", 'KPOP_CLAIMED=a" '
                              'event=forged x="')
        tap.equal(claimed["KPOP_SERVICE"], "pop3")
        Pop3(server).login("alice").close()
        ok = await_entry("KPOP_EVENT=auth.ok", "KPOP_USER=alice")
        tap.equal((ok["PRIORITY"], ok["SYSLOG_FACILITY"], ok["_UID"] != "0",
                   ok["KPOP_PID"]), ("6", "2", True, ok["_PID"]))
        tap.true(ok["MESSAGE"].startswith("event=auth.ok level=info "), ok)
        end = await_entry("KPOP_EVENT=session.end",
                          f"KPOP_SESSION={ok['KPOP_SESSION']}")
        tap.equal(end["KPOP_PEER"], ok["KPOP_PEER"])
    for entry in entries():
        tap.true(isinstance(entry["MESSAGE"], str), entry)
        tap.true(entry["MESSAGE"].startswith("event="), entry["MESSAGE"])
        tap.true(entry.get("KPOP_USER") != "forged", entry["MESSAGE"])
        tap.true(entry["KPOP_EVENT"] not in ("x", "forged"), entry)
    tap.lacks(server.log(), "session=", "standard error")


def journal_behind_standard_error_gets_the_fields():
    with kpopd("stream", stream=True) as server:
        Pop3(server).login("bob").close()
        ok = await_entry("KPOP_EVENT=auth.ok", "KPOP_USER=bob")
        tap.equal((ok["_TRANSPORT"], ok["PRIORITY"]), ("journal", "6"))


def journald_that_stops_stops_nobody():
    with kpopd("stopped", log="journal", log_level="debug") as server, \
            contextlib.ExitStack() as stack:
        mine = ("KPOP_EVENT=log.dropped",)
        alice = stack.enter_context(Pop3(server).login("alice"))
        daemon.send_signal(signal.SIGSTOP)
        stack.callback(daemon.send_signal, signal.SIGCONT)
        for _ in range(400):
            with Pop3(server) as stranger:
                stranger.err("USER bob\r\nPASS wrong", "+OK")
                stranger.line()
        alice.ok("NOOP")
        daemon.send_signal(signal.SIGCONT)

        def told():
            alice.ok("NOOP")
            with Pop3(server) as other:
                other.ok("QUIT")
            return entries(*mine)
        dropped = tap.await_(told, "what is missing is said")
        tap.true(int(dropped[0]["KPOP_LINES"]) > 0, dropped)


if __name__ == "__main__":
    tap.main(globals(), before, after)
