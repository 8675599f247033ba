#!/usr/bin/env python3
# outage.py - what kpopd leans on goes away or lies: KDC, DNS, the clock, the
# keytab in the middle of a handshake, the replay cache; and its own workers,
# at each step of a session.  Nobody gets in who should not, nobody is left
# without an answer, no mail is lost, and afterwards all works again.
# TIME-LIMIT: 180
#
# SPDX-License-Identifier: MIT
import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import (AUTH_USER, Kpopd, give,  # noqa: E402
                            passwords)
from harness.wire import VERSIONS, Kpop, Pop3, frame  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-outage-")
realm = None


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


def kpopd(name, of=None, env=None, **keys):
    """A server of its own, with three messages for alice."""
    directory = os.path.join(scratch.name, name)
    server = Kpopd(directory, of or realm, env=env, start=False,
                   plaintext="always", listen_pop3=f"{net.address()}:0",
                   passwords="file:" + passwords(directory, "alice"), **keys)
    Maildir(server, "alice").fill(3)
    return server


def refused(server, request):
    """(code, text) of the KRB_ERROR."""
    with Kpop(server) as client:
        return request.error(client.refused(request.again()))


def let_in(server, request):
    """A whole handshake and login; whether it was one."""
    with Kpop(server) as client:
        client.handshake(request.again())
        return client.login("alice").startswith("+OK")


def serves(server, user="alice"):
    with Pop3(server).login(user) as client:
        client.ok("QUIT")


# ---- workers ----

def whatever_comes(client):
    """All octets until the end, be it in good order or not."""
    try:
        return client.rest()
    except ConnectionResetError:
        return client.buffer


STEPS = ("", "USER alice", "PASS alice-password", "STAT", "UIDL", "RETR 4",
         "RETR 1", "DELE 1", "RSET", "DELE 2")


def worker_killed_at_each_pop3_step_loses_nothing():
    server = kpopd("steps", workers=1)
    maildir = Maildir(server, "alice")
    maildir.deliver("Subject: big\n\n" + "a line of text\n" * 400000)
    whole = maildir.names()
    uidls = None
    for last in range(len(STEPS)):
        with server.start():  # anew: who dies often is replaced slowly
            old = server.children("worker")
            with Pop3(server) as client:
                for step in STEPS[1:last + 1]:
                    client.send(step.encode() + b"\r\n")
                # The last answer need not have come.
                server.kill(old[0])
                heard = whatever_comes(client)
            step = STEPS[last]
            if step == "RETR 4":
                tap.true(not heard.endswith(b"\r\n.\r\n"), "half a message")
            server.await_other("worker", old)
            tap.equal(maildir.names(), whole, f"messages after {step}")
            with Pop3(server).login("alice") as client:
                now = client.multi("UIDL")
                tap.equal(now, uidls or now, f"UIDLs after {step}")
                uidls = now


def worker_killed_at_each_kpop_step_leaves_a_ticket_that_works():
    server = kpopd("handshake", workers=1)
    with server.start(), ApReq(realm, ccache=realm.ccache("alice")) as req:
        for last in range(6):
            old = server.children("worker")
            octets = frame(req.again())
            pieces = (b"", VERSIONS[:30], VERSIONS[30:], octets[:100],
                      octets[100:], b"USER alice\r\nPASS x\r\nDELE 1\r\n")
            with Kpop(server) as client:
                for piece in pieces[:last + 1]:
                    client.send(piece)
                server.kill(old[0])
                whatever_comes(client)
            server.await_other("worker", old)
            tap.true(let_in(server, req), f"a login after step {last}")
        tap.equal(len(Maildir(server, "alice").names()), 3, "messages")


# ---- KDC and DNS ----

class SilentDns:
    """A name server of this network that hears, and never answers."""

    def __enter__(self):
        if not net.is_private():
            raise tap.Skip("there is no network of our own")
        self.conf = os.path.join(scratch.name, "resolv.conf")
        with open(self.conf, "w", encoding="ascii") as file:
            file.write("nameserver 127.0.0.1\n")
        os.chmod(self.conf, 0o644)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        try:
            self.socket.bind(("127.0.0.1", 53))
        except OSError as error:
            self.socket.close()
            raise tap.Skip(f"port 53: {error}") from None
        subprocess.run(["mount", "--bind", self.conf, "/etc/resolv.conf"],
                       check=True)
        return self

    def questions(self):
        count = 0
        while True:
            try:
                self.socket.recv(512)
                count += 1
            except BlockingIOError:
                return count

    def __exit__(self, *_):
        subprocess.run(["umount", "/etc/resolv.conf"], check=True)
        self.socket.close()


def without_kdc_and_dns_tickets_still_work():
    other = Realm(os.path.join(scratch.name, "gone"))
    ccache = other.ccache("alice")
    with ApReq(other, ccache=ccache) as request:
        other.stop()
        with SilentDns() as dns, kpopd("gone-kpopd", of=other) as server:
            server.start()
            began = time.monotonic()
            for _ in range(3):
                tap.true(let_in(server, request), "a login by ticket")
                serves(server)
            spent = time.monotonic() - began
            tap.equal(dns.questions(), 0, "questions to the name server")
            tap.true(spent < 5 * tap.SLOW, f"3 logins took {spent} s")


# ---- the clock ----

class Clock:
    """What kpopd takes for the system's clock."""

    def __init__(self, name):
        if os.environ.get("KPOP_CHECKER"):
            raise tap.Skip("libfaketime and checkers want to be first")
        found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        if not found:
            raise tap.Skip("libfaketime is not installed")
        self.path = os.path.join(scratch.name, name)
        self.env = {"LD_PRELOAD": found[0], "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_TIMESTAMP_FILE": self.path,
                    "NO_FAKE_STAT": "1", "DONT_FAKE_MONOTONIC": "1"}
        self.jump("+0")

    def jump(self, offset):
        with open(self.path + ".new", "w", encoding="ascii") as file:
            file.write(offset + "\n")
        os.chmod(self.path + ".new", 0o644)
        os.rename(self.path + ".new", self.path)


def clock_that_jumps_ends_no_session_and_shows_all_mail():
    clock = Clock("clock")
    server = kpopd("jumps", env=clock.env, login_delay=1)
    maildir = Maildir(server, "alice")
    with server.start(), ApReq(realm, ccache=realm.ccache("alice")) as req, \
            Pop3(server) as waiting:
        with Pop3(server).login("alice") as client:
            # A ticket is of its time, whoever's clock is wrong.
            codes = {"+100d": 32, "-100d": 33, "+1h": 37, "-1h": 33}
            for offset in codes:
                clock.jump(offset)
                client.ok("NOOP")
                tap.equal(refused(server, req)[0],
                          codes[offset], f"code at {offset}")
            waiting.ok("USER alice")  # the deadline of a login runs on
            clock.jump("+0")
            client.ok("DELE 1")
            client.ok("QUIT")
        for offset in ("+1d", "-1d", "+0"):
            clock.jump(offset)
            maildir.fill(1)
            with Pop3(server).login("alice") as client:
                tap.equal(client.ok("STAT").split()[1],
                          str(len(maildir.names())), f"mail at {offset}")
                tap.equal(len(client.multi("UIDL")), len(maildir.names()))
                client.ok("QUIT")
        tap.await_(lambda: let_in(server, req), "a ticket, the clock is right")


# ---- the keytab ----

def keytab_replaced_in_mid_handshake_is_a_clear_answer():
    service = realm.service("pop3")
    name = f"pop3/{net.host()}"
    keytab = os.path.join(scratch.name, "swap.keytab")
    realm.run("keytab", keytab, name)
    give(keytab, AUTH_USER)

    def put(source):
        shutil.copy(source, keytab + ".new")
        give(keytab + ".new", AUTH_USER)
        os.rename(keytab + ".new", keytab)

    def damage():
        with open(keytab + ".bad", "wb") as file:
            file.write(b"\5\2\0\0\0\377damaged")
        put(keytab + ".bad")

    kept = keytab + ".kept"
    shutil.copy(keytab, kept)
    cases = (("the same", lambda: put(kept), (0,)),
             ("keys of others", lambda: put(os.path.join(
                 realm.directory, "host.keytab")), (35, 45)),
             ("no keys", lambda: put(os.path.join(
                 realm.directory, "empty.keytab")), (35, 45)),
             ("no file", lambda: os.unlink(keytab), (45,)),
             ("damaged", damage, (45, 60)))
    with kpopd("swap", keytab=keytab).start() as server, \
            ApReq(realm, service, ccache=realm.ccache("alice")) as request:
        for what, change, codes in cases:
            octets = frame(request.again())
            for cut in (0, 4, len(octets) // 2, len(octets) - 1):
                with Kpop(server).versions() as client:
                    client.send(octets[:cut])
                    change()
                    client.send(octets[cut:])
                    status = client.read(4)
                    code = 0
                    if status != b"\0\0\0\0":
                        code = request.error(client.read(
                            int.from_bytes(status, "big")))[0]
                tap.true(code in codes, f"{what}: code {code}")
                octets = frame(request.again())
                put(kept)
            tap.true(let_in(server, request), f"a login after {what}")


# ---- the replay cache ----

def full_replay_cache_keeps_tickets_out_and_passwords_in():
    if not net.is_private():
        raise tap.Skip("there are no mounts of our own")
    cache = os.path.join(scratch.name, "small")
    os.mkdir(cache)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "none",
                    cache], check=True)
    give(cache, AUTH_USER)
    try:
        with kpopd("full", replay_cache=os.path.join(
                cache, "replay")).start() as server, \
                ApReq(realm, ccache=realm.ccache("alice")) as request:
            filler = os.path.join(cache, "filler")
            with open(filler, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass  # now it is full
            mark = server.mark()
            for _ in range(3):
                code, text = refused(server, request)
                tap.equal(code, 60, "code")
                tap.contains(text, "[SYS/")
                serves(server)
            server.await_log(r"level=error .*replay", mark)
            os.unlink(filler)
            tap.true(let_in(server, request), "a login when there is room")
            with Kpop(server) as client:
                tap.equal(request.error(client.refused(request.octets))[0],
                          34, "code of a replay")
    finally:
        subprocess.run(["umount", cache], check=True)


if __name__ == "__main__":
    tap.main(globals(), before, after)
