#!/usr/bin/env python3
# dovecot.py - logins by ticket through Dovecot: KPOP on 1109 against its own
# AUTH GSSAPI on 110, with the same settings of both services, in turns.
#
# A login counts from connect to the answer that opens the maildrop.  The
# tickets are there before; what the clients compute in between is not counted
# in "waiting", which is the server's time alone.
#
# SPDX-License-Identifier: MIT
import os
import statistics
import tempfile
import time

from figures import VERSIONS, ApReq, Kpop, Pop3, Realm, frame, tap

from harness import dovecot as suite
from harness import net, sasl

ROUNDS, LOGINS = 20, 20


def services(version):
    """Both with one process that stays."""
    count = ("restart_request_count = unlimited" if version >= (2, 4)
             else "service_count = 0")
    return "".join(f"""
service {name} {{
  {count}
  process_min_avail = 1
  process_limit = 1
}}
""" for name in ("pop3-login", "kpop-login"))


class Clock:
    """Adds up waits for the server."""

    def __init__(self):
        self.whole = self.waiting = 0.0

    def wait(self, function, *arguments):
        began = time.monotonic()
        result = function(*arguments)
        self.waiting += time.monotonic() - began
        return result


def by_kpop(server, request, clock):
    octets = request.again()
    began = time.monotonic()
    client = clock.wait(Kpop, server)
    clock.wait(client.handshake, octets, True)
    answer = clock.wait(client.login, "alice")
    clock.whole += time.monotonic() - began
    tap.contains(answer, "+OK")
    client.ok("QUIT")
    client.close()


def by_gssapi(server, gss, clock):
    gss.reset()
    way = sasl.gssapi(None, gss)
    began = time.monotonic()
    client = clock.wait(Pop3, server)
    answer = None
    line = next(way)
    try:
        while True:
            answer = clock.wait(client.command, line)
            line = way.send(answer)
    except StopIteration:
        pass
    clock.whole += time.monotonic() - began
    tap.contains(answer, "+OK")
    client.ok("QUIT")
    client.close()


def compare(server, realm, name):
    kpop, gssapi, ratios = Clock(), Clock(), []
    with ApReq(realm, ccache=realm.ccache("alice"), mutual=True) as request, \
            sasl.Gss(realm, realm.ccache("alice")) as gss:
        for login in (by_kpop, by_gssapi):
            login(server, request if login is by_kpop else gss, Clock())
        for _ in range(ROUNDS):
            before = (kpop.waiting, gssapi.waiting)
            for _ in range(LOGINS):
                by_kpop(server, request, kpop)
            for _ in range(LOGINS):
                by_gssapi(server, gss, gssapi)
            ratios.append((gssapi.waiting - before[1])
                          / (kpop.waiting - before[0]))
    count = ROUNDS * LOGINS
    print(f"Dovecot, {name}: KPOP {count / kpop.whole:.0f} logins a second, "
          f"GSSAPI {count / gssapi.whole:.0f}; waiting alone: KPOP "
          f"{count / kpop.waiting:.0f}, GSSAPI {count / gssapi.waiting:.0f}, "
          f"ratio {gssapi.waiting / kpop.waiting:.2f} (median of {ROUNDS} "
          f"rounds {statistics.median(ratios):.2f}; 0.9 is wanted)",
          flush=True)


def main():
    with tempfile.TemporaryDirectory(prefix="kpop-bench-") as scratch:
        os.chmod(scratch, 0o711)
        net.prepare(scratch)
        try:
            suite.cover(os.path.join(scratch, "cover"))
        except tap.Skip as reason:
            print(f"Dovecot: {reason}")
            return
        realm = Realm(os.path.join(scratch, "realm"))
        try:
            for short, name, more in (
                    ("each", "a process a connection", ""),
                    ("stay", "processes that stay",
                     services(suite.version()))):
                with suite.Dovecot(os.path.join(scratch, short), realm,
                                   more=more) as server:
                    server.box("alice").fill(1)
                    compare(server, realm, name)
        finally:
            realm.stop()


if __name__ == "__main__":
    main()
