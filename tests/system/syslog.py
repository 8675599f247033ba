#!/usr/bin/env python3
# syslog.py - `log = syslog` with a daemon of ours at /dev/log: all processes
# reach it, a daemon that is slow, away or new stops no session, and what peers
# send can't forge lines.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import base64
import os
import re
import socket
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.server import Kpopd, passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

started = []
scratch = tempfile.TemporaryDirectory(prefix="kpop-syslog-")
LINE = re.compile(r"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d "
                  r"kpopd\[(\d+)\]: (event=\S+ level=\w+ pid=\2[ -~]*)")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "shm", "pts")


@tap.helper
def cover_dev():
    """A /dev of this mount namespace alone, so that its log is ours."""
    cover = os.path.join(scratch.name, "dev")
    os.mkdir(cover)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", cover)
    for name in DEVICES:
        theirs, ours = f"/dev/{name}", os.path.join(cover, name)
        if not os.path.exists(theirs):
            continue
        if os.path.isdir(theirs):
            os.mkdir(ours)
        else:
            with open(ours, "wb"):
                pass
        mount("--bind", theirs, ours)
    os.symlink("/proc/self/fd", os.path.join(cover, "fd"))
    mount("--rbind", cover, "/dev")


@tap.helper
def mount(*words):
    subprocess.run(["mount", *words], check=True)


@tap.helper
def before():
    if not net.is_private():
        return
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    cover_dev()


@tap.helper
def after():
    for server in started:  # those whose test did not come to its end
        if server.process and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
    if net.is_private():
        subprocess.run(["umount", "-R", "/dev"], check=False)
        subprocess.run(["umount", "-R", os.path.join(scratch.name, "dev")],
                       check=False)
    scratch.cleanup()


class Syslogd:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.lexists("/dev/log"):  # of a test that failed
            os.unlink("/dev/log")
        self.socket.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        self.socket.setblocking(False)
        self.heard = []

    def read(self):
        try:
            while True:
                self.heard.append(self.socket.recv(65536).decode("latin-1"))
        except BlockingIOError:
            return self.heard

    def find(self, pattern):
        found = [re.search(pattern, line) for line in self.read()]
        return next((match for match in found if match), None)

    def await_(self, pattern):
        return tap.await_(lambda: self.find(pattern),
                          lambda: f"{pattern!r} in\n" + "\n".join(self.heard))

    def stop(self):
        self.read()
        self.socket.close()
        os.unlink("/dev/log")


@tap.helper
def begin(name, **keys):
    if not net.is_private():
        raise tap.Skip("no mount namespace for a /dev/log of its own")
    directory = os.path.join(scratch.name, name)
    path = passwords(directory, "alice", "bob")
    server = Kpopd(directory, start=False, listen_kpop="", plaintext="always",
                   listen_pop3=f"{net.address()}:0", log="syslog",
                   passwords=f"file:{path}", **keys)
    for user in ("alice", "bob"):
        Maildir(server, user).fill(3)
    started.append(server)
    daemon = Syslogd()
    server.spawn()
    daemon.await_("event=process.ready ")
    port = daemon.find(r"event=process\.listen .*service=pop3 .*port=(\d+)")
    server.ports["pop3"] = int(port.group(1))
    return server, daemon


@tap.helper
def fetch(server, user="bob"):
    with Pop3(server).login(user) as client:
        client.ok("STAT")
        client.ok("QUIT")


def lines_of_all_processes_come_clean_and_with_their_session():
    server, daemon = begin("all")
    fetch(server)
    with Pop3(server) as stranger:
        stranger.err("USER a\x1b[2J\x07\x7f\tevent=forged")
        stranger.ok('USER a" event=forged x="')
        stranger.err("PASS wrong")
        name = b"\0a\x1b[2J\r\nevent=forged x=\"\0wrong"
        stranger.err("AUTH PLAIN " + base64.b64encode(name).decode())
    daemon.await_("event=session.end ")
    server.stop()
    pids = set()
    for text in daemon.read():
        match = LINE.fullmatch(text)
        tap.true(match, f"well formed and printable: {text!r}")
        pids.add(match.group(2))
        tap.true(int(match.group(1)) >> 3 == 2, f"facility mail: {text}")
        bare = re.sub(r'"([^"\\]|\\.)*"', "", text)
        tap.lacks(bare, "event=forged", "what is not inside of quotes")
        if " peer=" in text or re.search(r"event=(auth|session)\.", text):
            tap.contains(text, " session=", "line of a session")
    tap.true(len(pids) > 1, f"workers, too, have logged: {pids}")
    tap.lacks(server.log(), "session=", "standard error")
    daemon.stop()


def missing_daemon_is_told_on_standard_error():
    server, daemon = begin("before")
    server.stop()
    daemon.stop()
    server.spawn()
    server.await_log(r"event=log\.away level=error .*path=/dev/log .*"
                     "No such file")
    daemon = Syslogd()
    server.reload()
    daemon.await_(r"event=log\.dropped .*lines=[1-9]")
    server.stop()
    daemon.stop()


def slow_daemon_stops_nobody():
    server, daemon = begin("slow")
    with Pop3(server).login("alice") as alice:
        # Each refused login is some lines; the daemon's queue is full soon.
        for _ in range(300):
            with Pop3(server) as stranger:
                stranger.err("USER bob\r\nPASS wrong", "+OK")
                stranger.line()
        alice.ok("NOOP")
        fetch(server)

        def told():
            fetch(server)
            return daemon.find(r"event=log\.dropped .*lines=[1-9]")
        tap.await_(told, "what is missing is said")
        alice.ok("QUIT")
    server.stop()
    daemon.stop()


def daemon_that_is_started_anew_is_found():
    server, daemon = begin("anew")
    fetch(server)
    daemon.stop()
    for _ in range(4):
        fetch(server)
    daemon = Syslogd()

    def told():
        fetch(server)
        return daemon.find(r"event=log\.dropped .*lines=[1-9]")
    tap.await_(told, "the new daemon learns what is missing")
    daemon.await_("event=session.end ")
    server.stop()
    daemon.stop()


if __name__ == "__main__":
    tap.main(globals(), before, after)
