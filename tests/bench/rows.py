# rows.py - what is measured: a function a row of the table of goals.  Each
# yields (what, function), of which every function gives one figure of a round;
# goals.py calls them in turns and compares the medians.
#
# SPDX-License-Identifier: MIT
import os

from meter import Load, Trace, bound, pss, work
from sides import USERS

SESSIONS = 2000
KERBEROS = {"sessions": 1000}


def name_of(side):
    return side.name


def sides(world, *names):
    return [side for side in map(world.side, names) if side is not None]


def a_session(side, **options):
    """Milliseconds of the server's processor."""
    options = {"sessions": SESSIONS, **options}
    found = work(side, **options)
    return found["cpu_ms"] / options["sessions"]


def logins(world, names, **options):
    """{name: figure}, each behind a round that warms the server up."""
    found = {}
    for side in sides(world, *names):
        side.boxes(10, 4096)
        a_session(side, **{**options, "sessions": 200})
        found[side.name] = lambda side=side: a_session(side, **options)
    return found


def kerberos_bound(world, kind):
    replay = world.folder("bounds")
    os.makedirs(replay, mode=0o700, exist_ok=True)
    words = (kind, 2000, world.realm.keytab, world.realm.service(), "user",
             "secret")
    return {
        "library": lambda: bound(world.realm, *words, replay),
        "library, no replay cache": lambda: bound(world.realm, *words),
    }


def password(world):
    return logins(world, ("bare", "kpopd", "Dovecot"))


def kpop(world):
    return {**logins(world, ("kpopd",), way="kpop", work="stat", **KERBEROS),
            **kerberos_bound(world, "rd-req")}


def gssapi(world):
    return {**logins(world, ("kpopd", "Dovecot"), way="gssapi", **KERBEROS),
            **kerberos_bound(world, "gss")}


def workers(world):
    return logins(world, ("kpopd", "kpopd-1"), way="gssapi", **KERBEROS)


def stls(world):
    return {**logins(world, ("bare", "kpopd", "Dovecot"), way="plain",
                     security="stls", sessions=600),
            "library": lambda: bound(world.realm, "tls", 1000,
                                     world.certificate, world.key)}
