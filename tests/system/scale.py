#!/usr/bin/env python3
# scale.py - what sessions cost: memory of idle ones, thousands held at once,
# connections that come and go.
# TIME-LIMIT: 300
#
# SPDX-License-Identifier: MIT
import ctypes
import os
import resource
import tempfile
import time

from harness import net, tap

net.enter()

from harness import server as servers  # noqa: E402 (inside the network)
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd, memory  # noqa: E402
from harness.wire import VERSIONS, Kpop, Line, frame  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-scale-")
counter = 0
# Not mount(8): what net.prepare() starts as a plain user lacks the rights.
libc = ctypes.CDLL(None, use_errno=True)
mounted = []
MNT_DETACH = 2

MANY = 5000 if tap.PLAIN else 100
SOME = 500 if tap.PLAIN else 50
AT_ONCE = 100  # logins under way
SESSION_COST_MAX = 12 * 1024


@tap.helper
def before():
    os.chmod(scratch.name, 0o711)
    # Removing thousands of folders takes a disk a minute.
    if net.is_private() and libc.mount(
            b"tmpfs", scratch.name.encode(), b"tmpfs", 0, b"mode=711") == 0:
        mounted.append(scratch.name)
    net.prepare(scratch.name)


@tap.helper
def after():
    for path in mounted:
        libc.umount2(path.encode(), MNT_DETACH)
    scratch.cleanup()


def password_file(directory, users):
    """One hash for all: hashing is not what is measured here."""
    path = servers.passwords(directory, users[0])
    with open(path, "r+", encoding="ascii") as file:
        hashed = file.read().split(":", 1)[1]
        file.seek(0)
        file.writelines(f"{user}:{hashed}" for user in users)
    return path, f"{users[0]}-password"


class Crowd:
    """A kpopd and idle sessions, each on a maildrop of its own."""

    def __init__(self, size, messages, **keys):
        global counter
        counter += 1
        need_files(2 * size + 500)
        directory = os.path.join(scratch.name, f"kpopd{counter}")
        self.users = [f"user{i}" for i in range(size)]
        path, self.password = password_file(directory, self.users)
        self.kpopd = Kpopd(directory, start=False, workers=2,
                           listen_kpop="", plaintext="always",
                           listen_pop3=f"{net.address()}:0",
                           passwords=f"file:{path}", **keys)
        make_boxes(self.kpopd, self.users, messages)
        self.kpopd.start()
        self.sessions = []

    def grow(self, size, at_once=AT_ONCE):
        """Logs in until there are `size` sessions."""
        while len(self.sessions) < size:
            first = len(self.sessions)
            batch = [Line(self.kpopd.ports["pop3"], seconds=60)
                     for _ in self.users[first:min(size, first + at_once)]]
            for user, client in zip(self.users[first:], batch):
                client.send(f"USER {user}\r\nPASS {self.password}\r\n"
                            "STAT\r\n".encode())
            for client in batch:
                for _ in range(4):
                    line = client.line()
                    tap.true(line.startswith("+OK"), line)
            self.sessions += batch

    def memory(self, field="Pss"):
        return sum(memory(pid, field) for pid in
                   [self.kpopd.process.pid, *self.kpopd.children()])

    def end(self):
        for client in self.sessions:
            client.close()
        self.kpopd.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def make_boxes(kpopd, users, messages):
    """Maildirs whose messages are links to one file: cheap to make."""
    text = os.path.join(kpopd.mail, "text")
    with open(text, "w", encoding="ascii") as file:
        file.write("Subject: idle\n\nA message.\n")
    for user in users:
        box = os.path.join(kpopd.mail, user)
        for name in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(box, name))
        for i in range(messages):
            os.link(text, f"{box}/new/{1000000000 + i}.M{i}P1.test")
    os.unlink(text)
    servers.give(kpopd.mail, servers.WORKER_USER)


def need_files(count):
    """Here and, inherited, in kpopd."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
    except (ValueError, OSError):
        raise tap.Skip(f"only {hard} open files are allowed here, {count} "
                       "are needed (ulimit -n)") from None


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii",
                  errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def idle_session_on_ten_messages_costs_twelve_kib_at_most():
    with Crowd(2 * SOME, 10) as crowd:
        crowd.grow(SOME)  # warms the allocator and the tables up
        start = crowd.memory()
        crowd.grow(2 * SOME)
        cost = (crowd.memory() - start) / SOME
        tap.show(f"an idle session on 10 messages: {cost:.0f} octets of PSS "
                 f"({SOME} sessions, all processes)")
        if tap.PLAIN:
            tap.true(cost <= SESSION_COST_MAX, f"{cost:.0f} octets a session")


def five_thousand_idle_sessions_are_held_by_two_workers():
    with Crowd(MANY + 1, 1) as crowd:
        start = crowd.memory()
        began = time.monotonic()
        crowd.grow(MANY)
        took = time.monotonic() - began
        cost = (crowd.memory() - start) / MANY
        pids = [crowd.kpopd.process.pid, *crowd.kpopd.children()]
        tap.equal(len(crowd.kpopd.children("worker")), 2, "workers")
        tap.show(f"{MANY} sessions logged in within {took:.1f} s, "
                 f"{cost:.0f} octets of PSS each")
        # Nobody waits for them ...
        used = cpu_seconds(pids)
        began = time.monotonic()
        crowd.grow(MANY + 1)
        tap.show(f"one more login: {(time.monotonic() - began) * 1000:.0f} "
                 f"ms; processor time of it {cpu_seconds(pids) - used:.2f} s")
        # ... and all of them are still there.
        began = time.monotonic()
        for client in crowd.sessions:
            client.send(b"RETR 1\r\n")
        for client in crowd.sessions:
            tap.true(client.line().startswith("+OK"), "RETR")
            tap.contains("\n".join(client.lines()), "A message.")
        tap.show(f"a RETR in each of them: {time.monotonic() - began:.1f} s")


def closed_sessions_give_their_memory_back():
    """Few at once and one auth process, because otherwise it is chance when
    a thread or process gets its first work and with it memory;
    Private_Dirty, because Pss depends on who else runs this program."""
    size, rounds = (100, 20) if tap.PLAIN else (20, 3)
    with Crowd(size, 10, auth_processes=1) as crowd:
        sizes = []
        for _ in range(rounds):
            crowd.grow(size, 2)
            for client in crowd.sessions:
                client.ok("QUIT")
                tap.equal(client.rest(), b"", "octets behind QUIT")
                client.close()
            crowd.sessions = []
            sizes.append(crowd.memory("Private_Dirty"))
        grown = sizes[-1] - sizes[1]
        tap.show(f"private memory after {rounds} times {size} sessions: "
                 f"{sizes[-1]} octets, grown by {grown}")
        if tap.PLAIN:
            tap.true(grown < 256 * 1024, f"grows with the rounds: {sizes}")


def hostile_ap_reqs_leave_no_memory_in_any_process():
    """Each goes all the way to an auth process, which refuses it."""
    rounds = 10000 if tap.PLAIN else 200
    realm = Realm(os.path.join(scratch.name, "realm"))
    try:
        with Kpopd(os.path.join(scratch.name, "hostile"), realm) as kpopd, \
                ApReq(realm, ccache=realm.ccache("alice")) as request:
            with Kpop(kpopd) as client:
                client.handshake(request.octets)
            refuse_all(kpopd, request, rounds // 10)
            pids = [kpopd.process.pid, *kpopd.children()]
            start = [memory(pid, "Rss") for pid in pids]
            refuse_all(kpopd, request, rounds)
            tap.equal([kpopd.process.pid, *kpopd.children()], pids,
                      "the same processes")
            grown = [memory(pid, "Rss") - old
                     for pid, old in zip(pids, start)]
            tap.show(f"{rounds} hostile AP-REQs: processes grew by {grown}")
            if tap.PLAIN:
                tap.true(max(grown) < 1 << 20, f"processes grew by {grown}")
            with Kpop(kpopd) as client:
                client.handshake(request.again())
    finally:
        realm.stop()


def refuse_all(kpopd, request, rounds):
    good = request.octets
    flipped = bytearray(good)
    flipped[-30] ^= 1
    hostile = ((good, 34), (bytes(flipped), 31), (b"\x7e\x82\0\0", 40),
               (good[:-5], 60), (b"\x6e" + good[::-1] * 100, 60))
    for i in range(rounds):
        octets, code = hostile[i % len(hostile)]
        with Kpop(kpopd) as client:
            client.send(VERSIONS + frame(octets))
            tap.equal(client.read(1), b"\0", "answer to the versions")
            tap.equal(request.error(client.framed())[0], code, "KRB_ERROR")


if __name__ == "__main__":
    tap.main(globals(), before, after)
