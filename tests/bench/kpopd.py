#!/usr/bin/env python3
# kpopd.py - how fast kpopd is on this machine: logins by ticket, the wait
# until the greeting, octets of RETR, memory of an idle session.  One client,
# loopback, a throwaway realm; a few seconds altogether.
#
# SPDX-License-Identifier: MIT
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../system"))

from harness import net  # noqa: E402

net.enter()

from harness.maildir import Maildir  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd, memory  # noqa: E402
from harness.wire import Kpop, frame  # noqa: E402

LOGINS = 500
IDLE = 40
RETRIEVALS = 50
OCTETS = 1024 * 1024


def log_in(kpopd, request, user):
    client = Kpop(kpopd)
    client.handshake(request.octets)
    client.login(user)
    return client


def logins(kpopd, request):
    waits = []
    began = time.monotonic()
    for _ in range(LOGINS):
        with Kpop(kpopd) as client:
            client.versions()
            at = time.monotonic()
            client.send(frame(request.octets))
            client.read(4)
            client.line()
            waits.append((time.monotonic() - at) * 1000)
        request.again()
    seconds = time.monotonic() - began
    print(f"handshakes          {LOGINS / seconds:10.0f} /s, one after the "
          "other, the client's part included")
    print(f"AP-REQ to greeting  {statistics.median(waits):10.2f} ms median, "
          f"{max(waits):.2f} ms at most")


def retrieval(kpopd, request):
    box = Maildir(kpopd, "alice")
    box.deliver("Subject: long\n\n" + ("x" * 71 + "\n") * (OCTETS // 72))
    client = log_in(kpopd, request, "alice")
    began = time.monotonic()
    octets = 0
    for _ in range(RETRIEVALS):
        client.send(b"RETR 1\r\n")
        octets += len(client.until(b"\r\n.\r\n"))
    seconds = time.monotonic() - began
    print(f"RETR                {octets / seconds / 1e6:10.0f} MB/s")
    client.close()


def idle(kpopd, realm):
    """Sessions of a user each would need as many users: they share alice's
    ticket and stay before USER, which costs a session all but its box."""
    pids = kpopd.children("worker")
    before = sum(memory(pid) for pid in pids)
    kept = []
    for _ in range(IDLE):
        with ApReq(realm) as request:
            client = Kpop(kpopd)
            client.handshake(request.octets)
            kept.append(client)
    grown = sum(memory(pid) for pid in pids) - before
    print(f"idle after handshake{grown / IDLE / 1024:10.1f} KiB of PSS")
    for client in kept:
        client.close()


def main():
    with tempfile.TemporaryDirectory(prefix="kpop-bench-") as scratch:
        os.chmod(scratch, 0o711)
        net.prepare(scratch)
        realm = Realm(os.path.join(scratch, "realm"))
        kpopd = Kpopd(os.path.join(scratch, "kpopd"), realm,
                      listen_kpop=f"{net.address()}:1109")
        try:
            with ApReq(realm) as request:
                logins(kpopd, request)
                request.again()
                retrieval(kpopd, request)
            idle(kpopd, realm)
        finally:
            kpopd.stop()
            realm.stop()


main()
