#!/usr/bin/env python3
# soak.py - half an hour of mail: fetchmail by ticket, mpop by STLS and a
# reader of our own by POP3S, each with a maildrop into which messages come,
# beside clients that mean no good.  In the first half nothing else happens,
# and the same processes must neither grow nor keep descriptors; in the second
# one keys, certificates and configurations change and processes are killed,
# and no message may get lost.  KPOP_SOAK chooses other seconds than 1800,
# KPOP_SEED another chance than 1.
# TIME-LIMIT: 3600
#
# SPDX-License-Identifier: MIT
import collections
import os
import random
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../system"))

from harness import net, tap  # noqa: E402 (its folder is known now)

net.enter()

from harness import clients, programs, server, tls  # noqa: E402
from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd, kpopctl, passwords  # noqa: E402
from harness.wire import Kpop, Line, Pop3, VERSIONS, frame  # noqa: E402

SECONDS = int(os.environ.get("KPOP_SOAK", "1800"))
SEED = int(os.environ.get("KPOP_SEED", "1"))
DELIVERY, MISCHIEF, CHANGE = 0.4, 0.05, 10  # seconds from one to the next
GROWTH = 512 * 1024  # octets that a process may grow by in the first half
USERS = ("alice", "bob", "carol", "dave")  # dave means no good
SUBJECT = re.compile(rb"(?m)^Subject: (\d+)\r?$")

scratch = tempfile.TemporaryDirectory(prefix="kpop-soak-")
world = None


class Clock:
    """Lets actors work until it is stopped or held."""

    def __init__(self):
        self.ended = threading.Event()
        self.runs = threading.Event()
        self.working = 0
        self.lock = threading.Condition()

    def turns(self, pause):
        """A turn, a pause, until the end."""
        while not self.ended.is_set():
            self.runs.wait()
            with self.lock:
                self.working += 1
            yield
            with self.lock:
                self.working -= 1
                self.lock.notify_all()
            self.ended.wait(pause)

    def hold(self):
        self.runs.clear()
        with self.lock:
            self.lock.wait_for(lambda: self.working == 0, 120)

    def end(self):
        self.ended.set()
        self.runs.set()


class Reader:
    """A user's client: what it got, by number."""

    def __init__(self, user):
        self.user = user
        self.got = collections.Counter()
        self.refused = 0
        self.said = ""

    def take(self, texts):
        for text in texts:
            self.got[int(SUBJECT.search(text)[1])] += 1


class ByTicket(Reader):
    def __init__(self, user):
        super().__init__(user)
        self.client = clients.Fetchmail(
            os.path.join(scratch.name, "fetchmail"), world.ports["kpop"])
        self.runs = 0
        self.ccache = None

    def fetch(self):
        if self.runs % 200 == 0:
            self.ccache = world.realm.ccache(self.user)
        self.runs += 1
        status = self.client.run(world.realm, self.ccache)
        self.said = self.client.output
        self.refused += status not in (0, 1)
        self.take(self.client.got())
        for name in os.listdir(self.client.directory):
            if name.startswith("got."):
                os.unlink(os.path.join(self.client.directory, name))


class ByMpop(Reader):
    def __init__(self, user):
        super().__init__(user)
        self.home = os.path.join(scratch.name, "mpop")
        for name in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(self.home, "box", name))

    def fetch(self):
        words = ["mpop", f"--host={net.host()}", "--tls=on",
                 f"--port={world.ports['pop3']}", "--tls-starttls=on",
                 f"--tls-trust-file={world.authority.path}", "--auth=plain",
                 f"--user={self.user}", "--keep=off", "--received-header=off",
                 f"--passwordeval=echo {self.user}-password",
                 f"--uidls-file={self.home}/uidls",
                 f"--delivery=maildir,{self.home}/box"]
        done = subprocess.run(words, env={"PATH": net.PATH, "HOME": self.home},
                              stdin=subprocess.DEVNULL, check=False,
                              stdout=subprocess.PIPE, timeout=120,
                              stderr=subprocess.STDOUT)
        self.said = done.stdout.decode("utf-8", "backslashreplace")
        self.refused += done.returncode != 0
        folder = os.path.join(self.home, "box/new")
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as file:
                self.take([file.read()])
            os.unlink(os.path.join(folder, name))


class ByPop3s(Reader):
    """Looks at each size, too."""

    def fetch(self):
        try:
            with tls.Pop3s(world, world.context) as client:
                self.session(client)
        except (tap.Failure, OSError):
            self.refused += 1  # its worker was killed, or is full

    def session(self, client):
        client.ok(f"USER {self.user}")
        client.ok(f"PASS {self.user}-password")
        sizes = dict(line.split() for line in client.multi("LIST"))
        found = []
        for number, size in sizes.items():
            lines = client.multi(f"RETR {number}")
            text = "".join(line + "\r\n" for line in lines).encode()
            tap.equal(len(text), int(size), "octets of a message")
            found.append(text)
            client.ok(f"DELE {number}")
        # From here on they are ours, whether or not the answer comes.
        self.take(found)
        client.ok("QUIT")


class World:
    """kpopd, what it needs, and all who want something of it."""

    def __init__(self):
        self.chance = random.Random(SEED)
        self.clock = Clock()
        self.threads = []
        self.delivered = collections.Counter()
        self.faults = []
        self.realm = Realm(os.path.join(scratch.name, "realm"),
                           "--lifetime", str(2 * SECONDS + 1800))
        self.authority = tls.Authority(os.path.join(scratch.name, "ca"))
        self.certificate, self.key = self.authority.sign(
            "server", net.host(), net.address())
        self.context = tls.context(self.authority.path)
        directory = os.path.join(scratch.name, "kpopd")
        self.kpopd = Kpopd(
            directory, self.realm, start=False, login_failure_delay=0,
            listen_kpop=f"{net.address()}:1109",
            listen_pop3=f"{net.address()}:0",
            listen_pop3s=f"{net.address()}:0", metrics=f"{net.address()}:0",
            passwords="file:" + passwords(directory, *USERS),
            tls_certificate=self.certificate, tls_key=self.key,
            max_unauthenticated=200)
        self.boxes = {u: Maildir(self.kpopd, u) for u in USERS}
        self.kpopd.start()
        self.ports = self.kpopd.ports

    # ---- who works ----

    def start(self, work, pause):
        def run():
            for _ in self.clock.turns(pause):
                try:
                    work()
                except Exception as fault:  # whichever, it is told at the end
                    self.faults.append(f"{work.__name__}: {fault!r}")
        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def deliver(self):
        user = self.chance.choice(USERS)
        self.delivered[user] += 1
        number = self.delivered[user]
        box = self.boxes[user].path
        name = f"{int(time.time())}.M{number}P1.test"
        path = os.path.join(box, "tmp", name)
        with open(path, "w", encoding="ascii") as file:
            file.write(f"Subject: {number}\n\n"
                       + "a line\n.\n" * self.chance.randrange(3000))
        server.give(path, server.WORKER_USER)
        os.rename(path, os.path.join(box, "new", name))

    def mischief(self):
        try:
            self.chance.choice(MISCHIEFS)(self.chance.randrange(2, 250))
        except (tap.Failure, OSError, ssl.SSLError):
            pass  # to be refused is what it came for

    # ---- what changes ----

    def change(self):
        self.chance.choice((self.kpopd.reload, self.new_key,
                            self.new_certificate, self.kill))()

    def new_key(self):
        self.realm.run("rotate", self.realm.service("pop").split("@")[0])
        self.kpopd.own_keytab()

    def new_certificate(self):
        fresh = self.authority.sign("fresh", net.host(), net.address())
        os.rename(fresh[1], self.key)
        os.rename(fresh[0], self.certificate)
        self.kpopd.reload()

    def kill(self):
        kind = self.chance.choice(("worker", "auth-krb", "auth-password",
                                   "metrics"))
        for pid in self.kpopd.children(kind)[:1]:
            self.kpopd.kill(pid)

    # ---- what it costs ----

    def quiet(self):
        """Holds everybody; {process: (PSS, descriptors)} once nobody is
        connected."""
        self.clock.hold()

        def is_empty():
            _, out, _ = kpopctl(self.kpopd.path, "who", env=self.kpopd.env)
            return len(out.splitlines()) <= 1
        tap.await_(is_empty, "no sessions", 90)
        pids = [self.kpopd.process.pid] + self.kpopd.children()
        found = {pid: (server.memory(pid), len(os.listdir(f"/proc/{pid}/fd")))
                 for pid in pids}
        return found

    def work(self, seconds):
        self.clock.runs.set()
        self.clock.ended.wait(seconds)

    def stop(self):
        self.clock.end()
        self.kpopd.stop()
        self.realm.stop()


# ---- those who mean no good; n is any number ----

def address(n):
    return f"127.0.0.{n}"


@tap.helper
def garbage(n):
    with Line(list(world.ports.values())[n % 3], source=address(n)) as line:
        line.send(random.Random(n).randbytes(n * 20))
        line.rest()


@tap.helper
def half_handshake(n):
    with Kpop(world.kpopd, source=address(n)) as client:
        client.send((VERSIONS + frame(b"x" * n * 100))[:n])


@tap.helper
def false_ticket(n):
    with ApReq(world.realm, ccache=world.false_ccache) as request:
        octets = bytearray(request.octets)
        octets[n % len(octets)] ^= 0x40
        with Kpop(world.kpopd, source=address(n)) as client:
            client.refused(bytes(octets))


@tap.helper
def long_lines(n):
    with Pop3(world.kpopd, source=address(n)) as client:
        client.send(b"USER " + b"x" * n * 300 + b"\r\n")
        client.command("AUTH PLAIN " + "A" * n * 10)


@tap.helper
def wrong_password(n):
    with Pop3(world.kpopd, source=address(n)) as client:
        client.command(f"USER user{n}")
        client.command("PASS wrong")


@tap.helper
def broken_tls(n):
    with Line(world.ports["pop3s"], source=address(n)) as line:
        line.send(b"\x16\x03\x01\x02\x00" + random.Random(n).randbytes(n * 2))


@tap.helper
def leaves_in_the_middle(n):
    with Pop3(world.kpopd, source=address(n)) as client:
        client.login("dave")
        client.send(b"LIST\r\nUIDL\r\nRETR 1\r\nDELE 1\r\n" * (n % 4 + 1))
        client.read(n)


@tap.helper
def never_reads(n):
    with Pop3(world.kpopd, source=address(n)) as client:
        client.login("dave")
        client.send(b"RETR 1\r\n" * 40)


MISCHIEFS = (garbage, half_handshake, false_ticket, long_lines,
             wrong_password, broken_tls, leaves_in_the_middle, never_reads)


@tap.helper
def before():
    global world
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    world = World()
    world.false_ccache = world.realm.ccache("bob")
    world.readers = [ByTicket("alice"), ByMpop("bob"), ByPop3s("carol")]
    world.start(world.deliver, DELIVERY)
    for reader in world.readers:
        world.start(reader.fetch, 0.2)
    for _ in range(2):
        world.start(world.mischief, MISCHIEF)


@tap.helper
def after():
    if world:
        world.stop()
    scratch.cleanup()


@tap.helper
def told(states):
    for pid, (octets, files) in states[-1].items():
        first = states[0].get(pid)
        tap.show(f"process {pid}: {octets // 1024} KiB, {files} descriptors"
                 + (f"; before {first[0] // 1024} and {first[1]}"
                    if first else ""))


# ---- tests ----

def a_processes_stay_as_they_are():
    world.work(SECONDS / 8)
    states = [world.quiet()]
    for _ in range(3):
        world.work(SECONDS / 8)
        states.append(world.quiet())
    told(states)
    tap.equal(sorted(states[-1]), sorted(states[0]), "the same processes")
    for pid, (octets, files) in states[-1].items():
        tap.equal(files, states[0][pid][1], f"descriptors of {pid}")
        tap.true(octets - states[0][pid][0] <= GROWTH,
                 f"{pid} grew by {octets - states[0][pid][0]} octets")


def b_changes_and_deaths_leave_nothing_behind():
    start = world.quiet()
    world.start(world.change, CHANGE)
    world.work(SECONDS / 2)
    world.quiet()
    # Generations that drained have gone, those that died were replaced.
    tap.await_(lambda: len(world.kpopd.children()) == len(start) - 1,
               lambda: f"{len(start) - 1} processes: "
               f"{world.kpopd.children()}", 60)
    end = world.quiet()
    told([start, end])
    master = world.kpopd.process.pid
    tap.equal(end[master][1], start[master][1], "descriptors of the master")
    tap.true(end[master][0] - start[master][0] <= 2 * GROWTH,
             "the master has grown")
    tap.lacks(world.kpopd.log(), "event=process.stray", "log")


def c_no_message_was_lost():
    world.clock.end()
    for thread in world.threads:
        thread.join(120)
    for reader in world.readers:
        tap.await_(lambda r=reader: r.fetch() or not world.boxes[
            r.user].names(), lambda r=reader: f"{r.user}: {r.said}", 60)
        wanted = set(range(1, world.delivered[reader.user] + 1))
        again = sum(reader.got.values()) - len(reader.got)
        tap.show(f"{reader.user}: {len(wanted)} messages, {again} more than "
                 f"once, {reader.refused} sessions without success")
        tap.equal(wanted - set(reader.got), set(), "messages that are missing")
        tap.equal(set(reader.got) - wanted, set(), "messages nobody sent")


def d_nothing_went_wrong_in_here():
    tap.equal(world.faults[:10], [], "faults of the actors")
    tap.true(programs.PASSWORD not in world.kpopd.log(), "no secret logged")


tap.main(globals(), before, after)
