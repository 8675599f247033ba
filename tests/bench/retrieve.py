#!/usr/bin/env python3
# retrieve.py - how fast messages come: many small ones, one large one.
#
# SPDX-License-Identifier: MIT
import time

from figures import Pop3, Site, rate, row, tap

SMALL, LARGE = 2000, 64 << 20


def drain(client, octets):
    """Reads so much without looking at it."""
    left = octets - len(client.buffer)
    client.buffer = b""
    while left > 0:
        piece = client.socket.recv(min(left, 1 << 20))
        tap.true(piece, "closed early")
        left -= len(piece)


def small(site):
    site.boxes["alice"].empty().fill(SMALL)
    began = time.monotonic()
    with Pop3(site.kpopd) as client:
        client.login("alice")
        row(f"USER and PASS, {SMALL} messages",
            [(time.monotonic() - began) * 1000])
        times = []
        for i in range(SMALL):
            began = time.monotonic()
            client.multi(f"RETR {i + 1}")
            times.append((time.monotonic() - began) * 1000)
        row("RETR of a small message", times)
        began = time.monotonic()
        client.send(b"".join(b"RETR %d\r\n" % (i + 1) for i in range(SMALL)))
        for _ in range(SMALL):
            client.line()
            client.lines()
        rate("RETR, pipelined", SMALL, time.monotonic() - began, "a second")
        for command in ("LIST", "UIDL"):
            began = time.monotonic()
            client.multi(command)
            row(f"{command} of {SMALL}", [(time.monotonic() - began) * 1000])
        client.send(b"".join(b"DELE %d\r\n" % (i + 1) for i in range(SMALL)))
        for _ in range(SMALL):
            client.line()
        began = time.monotonic()
        client.ok("QUIT")
        row(f"QUIT that deletes {SMALL}", [(time.monotonic() - began) * 1000])


def large(site):
    line = b"x" * 76
    site.boxes["alice"].empty().deliver(
        b"Subject: large\r\n\r\n" + (line + b"\r\n") * (LARGE // 78))
    with Pop3(site.kpopd) as client:
        client.login("alice")
        octets = int(client.ok("LIST 1").split()[2])
        for what in ("first", "second"):
            began = time.monotonic()
            client.ok("RETR 1")
            drain(client, octets + 3)
            rate(f"RETR of {octets >> 20} MiB, {what} time", octets >> 20,
                 time.monotonic() - began, "MiB/s")
        client.ok("QUIT")


def main():
    with Site("alice") as site:
        small(site)
        large(site)


if __name__ == "__main__":
    main()
