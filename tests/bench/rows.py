# rows.py - what is measured of logins and of a server as a whole: a function a
# row of the table in goals.py.  Each gives {what: function}; goals.py calls
# the functions in turns, a round after the other, and each call gives one
# figure, or {what: figure} of several.
#
# SPDX-License-Identifier: MIT
import os

from figures import tap
from meter import Load, Trace, bound, pss, work

SESSIONS = 2000
FEWER = {"sessions": 600}   # where one costs more
IDLE, WARM = 1000, 200      # sessions that idle; that came before
CROWD, RATE = 10000, 500

notes = {}  # {row: {what: what else is known}}


def sides(world, *names):
    return [side for side in map(world.side, names) if side is not None]


def a_session(side, **options):
    """Milliseconds of the server's processor."""
    options = {"sessions": SESSIONS, **options}
    return work(side, **options)["cpu_ms"] / options["sessions"]


def logins(world, names, **options):
    """{name: function}, each server warm."""
    found = {}
    for side in sides(world, *names):
        side.boxes(10, 4096)
        a_session(side, **{**options, "sessions": WARM})
        found[side.name] = lambda side=side: a_session(side, **options)
    return found


ALL = ("bare", "kpopd", "Dovecot")


def bare(world):
    return logins(world, ("bare",))


def password(world):
    return logins(world, ALL)


def other(way):
    return lambda world: logins(world, ("kpopd", "Dovecot"), way=way)


def listing(world):
    return logins(world, ("kpopd", "Dovecot"), work="list")


# ---- Kerberos ----

def kerberos_bound(world, kind):
    replay = world.folder("bounds")
    os.makedirs(replay, mode=0o700, exist_ok=True)
    words = (kind, 2000, world.realm.keytab, world.realm.service(), "user",
             "secret")
    return {"library": lambda: bound(world.realm, *words, replay),
            "library, no replay cache": lambda: bound(world.realm, *words)}


def kpop(world):
    return {**logins(world, ("kpopd",), way="kpop", work="stat", **FEWER),
            **kerberos_bound(world, "rd-req")}


def gssapi(world):
    return {**logins(world, ("kpopd", "Dovecot"), way="gssapi", **FEWER),
            **kerberos_bound(world, "gss")}


def workers(world):
    return logins(world, ("kpopd", "kpopd-1"), way="gssapi", **FEWER)


# ---- TLS ----

def stls(world):
    return {**logins(world, ALL, way="plain", security="stls", **FEWER),
            "library": lambda: bound(world.realm, "tls", 1000,
                                     world.certificate, world.key)}


def resumed(side):
    """Percent of the sessions behind the first of each connection, and
    milliseconds.  Each ticket is used once, as RFC 8446 asks of clients, so
    that a server has to give a new one each time."""
    options = {"connections": 16, **FEWER}
    found = work(side, way="plain", security="pop3s", resume=True, **options)
    others = options["sessions"] - options["connections"]
    tap.true(found["resumed"] <= others, "sessions that resume")
    return {side.name: 100 * found["resumed"] / others,
            side.name + ", ms": found["cpu_ms"] / options["sessions"]}


def resumption(world):
    found = {}
    for side in sides(world, *ALL):
        side.boxes(10, 4096)
        resumed(side)
        found[side.name] = lambda side=side: resumed(side)
    return found


# ---- system calls ----

def traced(side):
    path = side.world.folder("strace")
    options = {"sessions": 300}
    with Load(side.realm, side.port(), **side.options(options)) as load:
        trace = Trace(side.pid, path)
        load.go().result()
        calls = trace.stop()
    notes.setdefault("calls", {})[side.name] = {
        name: round(count / options["sessions"], 2) for name, count in
        sorted(calls.items(), key=lambda item: -item[1])}
    return sum(calls.values()) / options["sessions"]


def calls(world):
    return {name: lambda side=world.side(name): traced(side)
            for name in logins(world, ALL)}


# ---- idle sessions ----

def hold(side, first, count, **options):
    options = {"user": "idle", "first": first, "users": count,
               "sessions": count, "work": "idle", "connections": min(50, count),
               **options}
    load = Load(side.realm, side.port(**options), **side.options(options))
    return load.go().held()


def an_idle_one(side, **options):
    """kB of PSS, of processes without a past."""
    side.restart()
    with hold(side, 0, WARM, **options):
        before = pss(side.pid)
        with hold(side, WARM, IDLE, **options):
            return (pss(side.pid) - before) / 1024 / IDLE


def idle(world, **options):
    found = {}
    for side in sides(world, *ALL):
        side.boxes(10, 4096, user="idle", count=WARM + IDLE)
        found[side.name] = lambda side=side: an_idle_one(side, **options)
    return found


def idle_tls(world):
    return idle(world, way="plain", security="pop3s")


def login_p99(side):
    """Of logins that come at a fixed rate."""
    found = work(side, rate=RATE, sessions=5 * RATE, connections=64)
    return found["login_ms"]["p99"]


def beside_a_crowd(side):
    with hold(side, 0, CROWD):
        return login_p99(side)


def crowd(world):
    side = world.side("kpopd")
    side.boxes(10, 4096)
    side.boxes(1, 4096, user="idle", count=CROWD)
    login_p99(side)
    return {"alone": lambda: login_p99(side),
            "kpopd": lambda: beside_a_crowd(side)}
