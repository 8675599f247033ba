# rows_mail.py - what is measured of mail: opening a large maildrop, and how
# fast messages come.  As in rows.py.
#
# SPDX-License-Identifier: MIT
import os
import time

from figures import tap
from meter import bound, work
from rows import ALL, sides

LARGE, SMALL = 5 << 20, 4096
MANY = int(os.environ.get("KPOP_BENCH_MESSAGES", "100000"))
AT_ONCE = 16
SETTLED = 5  # seconds until the times of a folder are old enough


# ---- a large maildrop ----

def opened(side, sessions, cold=False):
    spent = 0
    for _ in range(sessions if cold else 1):
        if cold:
            side.forget("large0")
        spent += work(side, user="large", users=1, connections=1, work="stat",
                      sessions=1 if cold else sessions)["cpu_ms"]
    return spent / sessions


def large_boxes(world):
    found = sides(world, "kpopd", "Dovecot")
    for side in found:
        side.boxes(MANY, SMALL, user="large", count=1)
    ready = time.monotonic() + SETTLED
    tap.await_(lambda: time.monotonic() > ready, "settled", 2 * SETTLED)
    return found


def stat_warm(world):
    found = {}
    for side in large_boxes(world):
        opened(side, 2)
        found[side.name] = lambda side=side: opened(
            side, 200 if side.name == "kpopd" else 10)
    return found


def stat_cold(world):
    return {side.name: lambda side=side: opened(side, 3, cold=True)
            for side in large_boxes(world)}


# ---- messages ----

def fetched(side, kind, **options):
    """Of a second of the server's processor, and of one by the clock."""
    found = work(side, connections=AT_ONCE, users=AT_ONCE,
                 sessions=2 * AT_ONCE, work="retr-all", **options)
    count = (found["octets"] / 1e6 if kind == "octets"
             else found["messages"])
    return {side.name: count / found["cpu_ms"] * 1000,
            side.name + ", by the clock": count / found["seconds"]}


def fetching(world, messages, octets, kind, **options):
    found = {}
    for side in sides(world, *ALL):
        side.boxes(messages, octets, count=AT_ONCE)
        fetched(side, kind, **options)
        found[side.name] = lambda side=side: (
            side.boxes(messages, octets, count=AT_ONCE),
            fetched(side, kind, **options))[1]
    return found


def large(world):
    return {**fetching(world, 8, LARGE, "octets"),
            "writev alone": lambda: LARGE / 1e3 / bound(
                world.realm, "writev", 100, LARGE)}


def large_tls(world):
    return fetching(world, 4, LARGE, "octets", security="pop3s")


def small(world):
    return fetching(world, 1000, SMALL, "messages")


def fetched_by_one(side):
    """Milliseconds by the clock that a client waits for a message."""
    side.boxes(1000, SMALL, count=AT_ONCE)
    found = work(side, connections=1, users=AT_ONCE, sessions=4,
                 work="retr-all")
    return found["seconds"] * 1000 / found["messages"]


def one_client(world):
    found = {}
    for side in sides(world, *ALL):
        fetched_by_one(side)
        found[side.name] = lambda side=side: fetched_by_one(side)
    return found


def emptied(side):
    """RETR and DELE of all messages, and QUIT; milliseconds a message."""
    side.filled.clear()
    side.boxes(50, SMALL, count=AT_ONCE)
    found = work(side, connections=AT_ONCE, users=AT_ONCE, sessions=AT_ONCE,
                 work="retr-dele-quit")
    side.filled.clear()
    return found["cpu_ms"] / found["messages"]


def emptying(world):
    return {side.name: lambda side=side: emptied(side)
            for side in sides(world, "kpopd", "Dovecot")}
