#!/usr/bin/env python3
# handshake.py - how long a KPOP login takes, and how many a second.
#
# SPDX-License-Identifier: MIT
import time

from figures import VERSIONS, ApReq, Kpop, Site, frame, rate, row

ALONE = 500
TOGETHER, ROUNDS = 50, 20


def alone(site, request):
    """One after another; a client as MIT's library speaks."""
    whole, after_ap_req, login = [], [], []
    for _ in range(ALONE):
        octets = request.again()
        began = time.monotonic()
        with Kpop(site.kpopd) as client:
            client.send(VERSIONS)
            client.read(1)
            sent = time.monotonic()
            client.send(frame(octets))
            client.framed()
            client.framed()
            client.line()
            greeted = time.monotonic()
            client.login("alice")
            done = time.monotonic()
            client.ok("QUIT")
        whole.append((greeted - began) * 1000)
        after_ap_req.append((greeted - sent) * 1000)
        login.append((done - greeted) * 1000)
    row("connect to greeting", whole)
    row("AP-REQ to greeting, mutual authentication", after_ap_req)
    row("USER and PASS behind it, maildrop opened", login)


def together(site, request):
    """The AP-REQs are made before; each burst is sent before any answer is
    read."""
    spent = 0.0
    for _ in range(ROUNDS):
        requests = [request.again() for _ in range(TOGETHER)]
        began = time.monotonic()
        clients = [Kpop(site.kpopd) for _ in requests]
        for client, octets in zip(clients, requests):
            client.send(VERSIONS + frame(octets))
        for client in clients:
            client.read(1)
            client.framed()
            client.framed()
            client.line()
        spent += time.monotonic() - began
        for client in clients:
            client.close()
    rate(f"handshakes, {TOGETHER} at once", TOGETHER * ROUNDS, spent,
         "a second")


def main():
    with Site("alice") as site, \
            ApReq(site.realm, ccache=site.realm.ccache("alice"),
                  mutual=True) as request:
        alone(site, request)
        together(site, request)


if __name__ == "__main__":
    main()
