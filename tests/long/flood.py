#!/usr/bin/env python3
# flood.py - from hundreds of addresses 10000 connections that send an octet a
# second, and 200 new ones a second that send garbage, while fetchmail goes on
# fetching by ticket: it takes at most twice as long as without them.
# TIME-LIMIT: 600
#
# SPDX-License-Identifier: MIT
import collections
import errno
import itertools
import multiprocessing
import os
import random
import resource
import select
import socket
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../system"))

from harness import net, tap  # noqa: E402 (its folder is known now)

net.enter()

from harness.clients import Fetchmail  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.realm import Realm  # noqa: E402
from harness.server import Kpopd  # noqa: E402
from harness.wire import VERSIONS  # noqa: E402

SLOW, GARBAGE = 10000, 200  # connections; connections a second
RUNS = 300
TICKS = 10  # a second
# What slow ones say, an octet a second, and never to its end in time.
SAYS = {"kpop": VERSIONS + b"\0\0\x10\0" + b"x" * 60,
        "pop3": b"NOOP\r\n" * 20}

scratch = tempfile.TemporaryDirectory(prefix="kpop-flood-")
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


class Slow:
    """One slow connection, which comes again when it is closed."""

    def __init__(self, number, ports):
        self.source = f"127.0.{1 + number // 10000}.{1 + number % 250}"
        self.service = sorted(SAYS)[number % len(SAYS)]
        self.port = ports[self.service]
        self.socket = None
        self.sent = 0

    def turn(self):
        """Whether it is connected."""
        try:
            if self.socket is None:
                self.connect()
            text = SAYS[self.service]
            self.socket.send(text[self.sent % len(text):][:1])
            self.sent += 1
            return self.socket.recv(4096) != b"" or self.close()
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                return False  # it is under way
            return self.close()

    def connect(self):
        self.sent = 0
        self.socket = dial(self.source, self.port)

    def close(self):
        self.socket.close()
        self.socket = None
        return False


@tap.helper
def dial(source, port):
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    made.bind((source, 0))
    made.connect_ex((net.address(), port))
    return made


@tap.helper
def throw(recent, ports):
    """A connection with garbage; those of a second ago go."""
    source = f"127.0.9.{random.randrange(1, 250)}"
    try:
        made = dial(source, random.choice(list(ports.values())))
        poll = select.poll()
        poll.register(made, select.POLLOUT)
        poll.poll(1000)
        made.send(random.randbytes(random.randrange(1, 400)))
        recent.append(made)
    except OSError:
        pass
    while len(recent) > GARBAGE:
        recent.popleft().close()


@tap.helper
def flood(ports, connected, thrown, ended):
    """A process of its own."""
    everybody = [Slow(i, ports) for i in range(SLOW)]
    recent = collections.deque()
    states = [False] * SLOW
    began = time.monotonic()
    for tick in itertools.count():
        if ended.is_set():
            return
        until = time.monotonic() + 1 / TICKS
        for i in range(tick % TICKS, SLOW, TICKS):
            states[i] = everybody[i].turn()
        while thrown.value < GARBAGE * (until - began):
            throw(recent, ports)
            thrown.value += 1
        connected.value = sum(states)
        ended.wait(max(0, until - time.monotonic()))


@tap.helper
def fetch(box, client, ccache):
    """Seconds that each of RUNS takes."""
    found = []
    for i in range(RUNS):
        box.deliver(f"Subject: {i}\n\n" + "a line of text\n" * 100)
        tap.equal(client.run(realm, ccache), 0, client.output)
        tap.equal(box.names(), [], "messages left")
        found.append(client.took)
    return found


@tap.helper
def spread(found):
    return "/".join(f"{1000 * f(found):.0f}"
                    for f in (min, statistics.median, max)) + " ms"


def fetchmail_takes_twice_as_long_at_most():
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files[1] < 2 * SLOW:
        raise tap.Skip(f"only {files[1]} descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    with Kpopd(os.path.join(scratch.name, "kpopd"), realm,
               listen_kpop=f"{net.address()}:1109",
               listen_pop3=f"{net.address()}:0", max_sessions=2 * SLOW,
               max_sessions_per_ip=50,
               max_unauthenticated=SLOW + 2 * GARBAGE) as kpopd:
        box = Maildir(kpopd, "alice")
        client = Fetchmail(os.path.join(scratch.name, "home"), 1109)
        ccache = realm.ccache("alice")
        alone = fetch(box, client, ccache)
        connected = multiprocessing.Value("q", 0)
        thrown = multiprocessing.Value("q", 0)
        ended = multiprocessing.Event()
        process = multiprocessing.Process(
            target=flood, args=(kpopd.ports, connected, thrown, ended))
        process.start()
        try:
            tap.await_(lambda: connected.value > SLOW * 0.95,
                       lambda: f"{connected.value} are connected", 90)
            began, count = time.monotonic(), thrown.value
            beside = fetch(box, client, ccache)
            rate = (thrown.value - count) / (time.monotonic() - began)
            tap.show(f"{connected.value} slow ones, {rate:.0f} a second with "
                     f"garbage; fetchmail alone {spread(alone)}, beside them "
                     f"{spread(beside)} (min/median/max)")
            tap.true(connected.value > SLOW * 0.9, "they are still there")
            tap.true(rate > GARBAGE * 0.9, f"{rate} a second")
        finally:
            ended.set()
            process.join(30)
        ratio = statistics.median(beside) / statistics.median(alone)
        tap.show(f"ratio of the medians {ratio:.2f}")
        tap.true(ratio <= 2, f"{ratio} times as long")


if __name__ == "__main__":
    tap.main(globals(), before, after)
