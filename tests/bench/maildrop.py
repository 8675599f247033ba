#!/usr/bin/env python3
# maildrop.py - processor time of sessions on a large maildrop, kpopd's against
# Dovecot's in one run: USER, PASS, STAT, QUIT with what was learned before
# (warm) and without (cold), with the sizes in the names and without, then
# with LIST and UIDL.  All processes of a server are counted; the messages are
# files in memory on each side, named as Dovecot delivers them.
#
# SPDX-License-Identifier: MIT
import ctypes
import glob
import os
import shutil
import statistics
import tempfile
import time

from figures import Kpopd, Pop3, Realm, passwords, tap

from harness import dovecot as suite
from harness import net, server

COUNT = int(os.environ.get("KPOP_BENCH_MESSAGES", "100000"))
ROUNDS, TIMES = 5, 10
WARM = 40  # times as many sessions of ours, which a tick can't resolve
TEXT = ("From: bob@example.org\nSubject: large\n\n"
        + "This is a line of a message.\n" * 50).encode()
TICK = 1000 / os.sysconf("SC_CLK_TCK")


def fill(path, sizes, owner):
    """COUNT messages, seen before, with or without S= and W=."""
    shutil.rmtree(path, ignore_errors=True)
    for name in ("new", "cur", "tmp"):
        os.makedirs(os.path.join(path, name))
    end = (f",S={len(TEXT)},W={len(TEXT) + TEXT.count(10)}:2," if sizes
           else ":2,")
    for i in range(COUNT):
        with open(f"{path}/cur/{1000000000 + i}.M{i * 7919 % 999983}"
                  f"P{i % 30000}.mail.example.org{end}", "wb") as file:
            file.write(TEXT)
    server.give(os.path.dirname(path), owner)


def milliseconds(master):
    """Of the processor, for a process, those below it and those of them that
    have ended."""
    of = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        of.setdefault(int(fields[1]), []).append(
            (int(path.split("/")[2]), sum(map(int, fields[11:15]))))

    def below(pid):
        return sum(ticks + below(child) for child, ticks in of.get(pid, ()))

    own = next(ticks for children in of.values()
               for pid, ticks in children if pid == master)
    return (own + below(master)) * TICK


class Ours:
    """kpopd, with a hash that costs next to nothing, as Dovecot's."""

    name = "kpopd"
    factor = WARM

    def __init__(self, directory):
        self.kpopd = Kpopd(
            directory, start=False, listen_kpop="", plaintext="always",
            listen_pop3=f"{net.address()}:0", workers=1,
            passwords="file:" + passwords(directory, "alice", method="-1"))
        self.ports = self.kpopd.ports
        self.path = os.path.join(self.kpopd.mail, "alice")

    def fill(self, sizes):
        fill(self.path, sizes, server.WORKER_USER)
        self.forget()
        if self.kpopd.process is None:
            self.kpopd.start()

    def forget(self):
        for path in glob.glob(os.path.join(self.kpopd.state, "maildirs/*")):
            os.unlink(path)

    def milliseconds(self):
        return milliseconds(self.kpopd.process.pid)

    def restart(self):
        """Processes without a past."""
        self.kpopd.stop()
        self.kpopd.start()

    def octets(self):
        return sum(map(server.memory, self.kpopd.children("worker")))

    def stop(self):
        self.kpopd.stop()


class Theirs:
    """Debian's Dovecot, with its defaults."""

    name = "Dovecot"
    factor = 1

    def __init__(self, directory, realm):
        self.dovecot = suite.Dovecot(directory, realm, tls_=False)
        self.ports = self.dovecot.ports
        self.path = os.path.join(self.dovecot.mail, "alice", "Maildir")

    def fill(self, sizes):
        fill(self.path, sizes, suite.MAIL_USER)

    def forget(self):
        for path in glob.glob(os.path.join(self.path, "dovecot*")):
            os.unlink(path)

    def milliseconds(self):
        tap.await_(lambda: not self.dovecot.processes("pop3"),
                   "pop3 has ended", 60)
        return milliseconds(self.dovecot.process.pid)

    def restart(self):
        pass  # each session is a process

    def octets(self):
        return sum(map(server.memory, self.dovecot.processes("pop3")))

    def stop(self):
        self.dovecot.stop()


def session(side, *commands):
    with Pop3(side, seconds=120) as client:
        client.login("alice", "alice-password")
        tap.contains(client.ok("STAT"), f"+OK {COUNT} ")
        for command in commands:
            tap.equal(len(client.multi(command)), COUNT, command)
        client.ok("QUIT")
        client.rest()


def cost(side, times, *commands, cold=False):
    """Milliseconds a session, of each round."""
    found = []
    for _ in range(ROUNDS):
        before = side.milliseconds()
        for _ in range(times):
            if cold:
                side.forget()
            session(side, *commands)
        found.append((side.milliseconds() - before) / times)
    return found


def memory(side):
    """KiB (PSS) that one session holds: after STAT, after LIST and UIDL."""
    side.restart()
    before = side.octets()
    with Pop3(side, seconds=120) as client:
        client.login("alice", "alice-password")
        client.ok("STAT")
        stat = side.octets()
        client.multi("LIST")
        client.multi("UIDL")
        return [(octets - before) // 1024
                for octets in (stat, side.octets())]


def spread(found):
    return (f"{min(found):.2f}/{statistics.median(found):.2f}"
            f"/{max(found):.2f}")


def ratio(theirs, ours):
    return statistics.median(theirs) / statistics.median(ours)


def figures(side):
    """{what: milliseconds of each round}, of one server."""
    found = {}
    for sizes in (True, False):
        side.fill(sizes)
        # Until the folders' times are old enough to be trusted.
        ready = time.monotonic() + 5
        tap.await_(lambda at=ready: time.monotonic() > at, "settled", 10)
        found["cold" if sizes else "cold, no sizes in the names"] = cost(
            side, 3, cold=True)
        if sizes:
            session(side)
            found["warm"] = cost(side, TIMES * side.factor)
            found["warm, LIST and UIDL"] = cost(side, TIMES, "LIST", "UIDL")
            print(f"{COUNT} messages, {side.name}: a session holds "
                  "%d KiB after STAT, %d KiB after LIST and UIDL"
                  % tuple(memory(side)), flush=True)
    return found


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(prefix="kpop-bench-") as scratch:
        os.chmod(scratch, 0o711)
        mounted = libc.mount(b"tmpfs", scratch.encode(), b"tmpfs", 0,
                             b"mode=711") == 0
        net.prepare(scratch)
        realm = Realm(os.path.join(scratch, "realm"))
        try:
            sides = [Ours(os.path.join(scratch, "kpopd"))]
            try:
                suite.cover(os.path.join(scratch, "cover"))
                sides.append(Theirs(os.path.join(scratch, "dovecot"), realm))
            except tap.Skip as reason:
                print(f"Dovecot: {reason}")
            found = []
            for side in sides:
                try:
                    found.append(figures(side))
                finally:
                    side.stop()
            for what, ours in found[0].items():
                print(f"{COUNT} messages, {what}, ms (min/median/max): kpopd "
                      + spread(ours)
                      + "".join(f", {other.name} {spread(rest[what])}, ratio "
                                f"{ratio(rest[what], ours):.1f}"
                                for other, rest in zip(sides[1:], found[1:])),
                      flush=True)
        finally:
            realm.stop()
            if mounted:
                libc.umount2(scratch.encode(), 2)


if __name__ == "__main__":
    main()
