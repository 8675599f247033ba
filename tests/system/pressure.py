#!/usr/bin/env python3
# pressure.py - what kpopd itself leans on gives way: nobody reads its log, it
# runs out of descriptors, an auth process freezes, reloads never stop.  Nobody
# else's session may pay for it, and the log tells the admin.
# TIME-LIMIT: 300
#
# SPDX-License-Identifier: MIT
import fcntl
import os
import re
import signal
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.server import Kpopd, passwords  # noqa: E402
from harness.wire import Line, Pop3  # noqa: E402

started = []
scratch = tempfile.TemporaryDirectory(prefix="kpop-pressure-")


@tap.helper
def before():
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)


@tap.helper
def after():
    for server in started:  # those whose test did not come to its end
        if server.process and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
    scratch.cleanup()


def kpopd(name, **keys):
    directory = os.path.join(scratch.name, name)
    path = passwords(directory, "alice", "bob")
    server = Kpopd(directory, start=False, listen_kpop="", plaintext="always",
                   listen_pop3=f"{net.address()}:0",
                   passwords=f"file:{path}", **keys)
    for user in ("alice", "bob"):
        Maildir(server, user).fill(3)
    started.append(server)
    return server


class Unread:
    """A kpopd whose log goes into a pipe that is read until it is ready."""

    def __init__(self, name):
        self.server = kpopd(name)
        self.pipe, there = os.pipe()
        fcntl.fcntl(there, 1031, 4096)  # F_SETPIPE_SZ
        words = os.environ.get("KPOP_WRAP", "").split()
        self.server.process = subprocess.Popen(
            [*words, os.path.join(net.BUILD, "kpopd"), "-c",
             self.server.path], env=self.server.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=there,
            cwd="/")
        os.close(there)
        self.heard = ""
        while "event=process.ready" not in self.heard:
            self.read()
        port = re.search(r"service=pop3 .*port=(\d+)", self.heard).group(1)
        self.server.ports["pop3"] = int(port)

    def read(self):
        octets = os.read(self.pipe, 65536)
        tap.true(octets != b"", "kpopd's log goes on")
        self.heard += octets.decode()


def unread_log_stops_nobody():
    unread = Unread("log")
    server = unread.server
    with Pop3(server).login("alice") as alice:
        # Each refused login is a line; a pipe of 4 KiB is full soon.
        for _ in range(100):
            with Pop3(server) as stranger:
                stranger.err("USER bob\r\nPASS wrong", "+OK")
                tap.contains(stranger.line(), "[AUTH]")
        alice.ok("NOOP")
        with Pop3(server).login("bob") as bob:
            bob.ok("QUIT")
        # Once it is read again, what is missing is said.
        while "event=log.dropped" not in unread.heard:
            unread.read()
            with Pop3(server).login("bob") as bob:
                bob.ok("QUIT")
    server.stop()
    os.close(unread.pipe)


def log_whose_reader_is_gone_stops_nobody():
    unread = Unread("gone")
    os.close(unread.pipe)
    with Pop3(unread.server).login("alice") as alice:
        alice.ok("STAT")
        alice.ok("QUIT")
    unread.server.stop()


def lack_of_descriptors_refuses_the_new_and_keeps_the_old():
    server = kpopd("files", workers=1)
    server.files = 128
    with server.start():
        worker = server.children("worker")[0]
        with Pop3(server).login("alice") as alice:
            alice.ok("DELE 1")
            mark = server.mark()
            crowd = [Line(server.ports["pop3"]) for _ in range(200)]
            server.await_log(r"event=process\.files level=error .*LimitNOFILE",
                             mark)
            alice.ok("NOOP")
            tap.contains("\n".join(alice.multi("RETR 2")), "message 2")
            for line in crowd:
                line.close()
            alice.ok("QUIT")
        tap.equal(server.children("worker"), [worker], "the worker lives")

        def login():
            with Pop3(server) as again:
                again.login("bob").ok("QUIT")
            return True
        tap.await_(lambda: attempt(login), "there is room again")


def attempt(action):
    try:
        return action()
    except (tap.Failure, OSError):
        return False


def too_few_descriptors_are_told_at_the_start():
    server = kpopd("few", max_sessions=10 ** 6)
    server.start()
    server.await_log(r"event=process\.files level=warning .*max_sessions")
    server.stop()


def frozen_auth_process_is_replaced():
    with kpopd("frozen", auth_timeout=1 * tap.SLOW).start() as server:
        frozen = server.children("auth-password")
        tap.equal(len(frozen), 2, "password processes")
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        for pid in frozen:
            server.await_log(rf"event=process\.hung .*child={pid} ")

        def login():
            with Pop3(server) as again:
                again.login("alice").ok("QUIT")
            return True
        tap.await_(lambda: attempt(login), "logins work again", 20)


def idle_auth_processes_are_left_alone():
    with kpopd("idle", auth_timeout=1 * tap.SLOW).start() as server:
        mark = server.mark()
        first = server.children("auth-password")
        # Five times as long as a frozen one would have; RFC 1939's N1 clock
        # is the condition: a login that is not made times out.
        server.configure(login_timeout=5 * tap.SLOW)
        server.reload()
        server.await_log(r"event=config\.reloaded", mark)
        with Line(server.ports["pop3"], seconds=30) as silent:
            silent.line()
            tap.equal(silent.rest(), b"", "closed at the login's end")
        tap.lacks(server.log(mark), "process.hung", "log")
        tap.true(first, "there were some")


def reloads_without_end_say_whose_sessions_end():
    with kpopd("reloads", workers=1, auth_processes=1).start() as server:
        first = Pop3(server).login("alice")
        first.ok("DELE 1")
        mark = server.mark()
        held = []
        ended = r"event=process\.retired level=warning .*sessions="
        for _ in range(40):
            before_ = server.mark()
            server.reload()
            server.await_log(r"event=config\.reloaded", before_, 20)
            held.append(Pop3(server))
            if re.search(ended, server.log(mark)):
                break
        server.await_log(ended, mark)
        last = first.line()
        tap.contains(last, "-ERR [SYS/TEMP] ")
        tap.contains(last, "nothing was deleted")
        tap.lacks(last, "going down", "the service goes on")
        first.close()
        tap.equal(len(Maildir(server, "alice").names()), 3, "messages")
        for client in held:
            client.close()


if __name__ == "__main__":
    tap.main(globals(), before, after)
