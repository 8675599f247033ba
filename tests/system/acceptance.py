#!/usr/bin/env python3
# acceptance.py - the acceptance scenarios A1 to A12 of KPOP, with a real KDC,
# a real fetchmail and raw clients.  A2 is in tls.py; A7's rows are in
# kpop_wire.py, each with its own look at the server afterwards.
# TIME-LIMIT: 300
#
# SPDX-License-Identifier: MIT
import os
import statistics
import tempfile
import time

from harness import net, tap

net.enter()

from harness.clients import Fetchmail  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd, memory  # noqa: E402
from harness.wire import VERSIONS, Kpop, Line, frame  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-acceptance-")
realm = None
kpopd = None
counter = 0

DOTS = "From: bob@example.org\nSubject: dots\n\n.one\n..two\n.\nthe end\n"


@tap.helper
def before():
    global realm, kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"), "--other")
    kpopd = Kpopd(os.path.join(scratch.name, "kpopd"), realm,
                  listen_kpop=f"{net.address()}:1109")


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


def box(user="alice"):
    """The user's maildir, emptied."""
    maildir = Maildir(kpopd, user)
    for folder in ("new", "cur"):
        for name in os.listdir(os.path.join(maildir.path, folder)):
            os.unlink(os.path.join(maildir.path, folder, name))
    return maildir


def fetchmail(**more):
    global counter
    counter += 1
    return Fetchmail(os.path.join(scratch.name, f"client{counter}"), 1109,
                     **more)


def ap_req(user="alice", service=None, **options):
    return ApReq(realm, service, ccache=realm.ccache(user), **options)


def a1_fetchmail_fetches_two_messages():
    maildir = box()
    maildir.fill(1)
    maildir.deliver(DOTS)
    client = fetchmail()
    tap.equal(client.run(realm, realm.ccache("alice")), 0, client.output)
    got = client.got()
    tap.equal(len(got), 2, "messages")
    tap.true(any(b"\n\n.one\n..two\n.\nthe end\n" in m for m in got),
             f"the dots are whole: {got}")
    tap.equal(maildir.names(), [], "messages left in the maildir")
    tap.true(client.took < 10 * tap.SLOW, f"took {client.took} s")


def a3_fetchmail_without_a_ticket_is_told_at_once():
    box().fill(1)
    client = fetchmail()
    tap.equal(client.run(realm, realm.empty_ccache()), 7, client.output)
    tap.true(client.took < 1 * tap.SLOW, f"took {client.took} s")
    tap.show(f"answer after {client.took * 1000:.0f} ms")


def a4_fetchmail_with_an_expired_ticket_is_told_at_once():
    box().fill(1)
    ccache = realm.empty_ccache()
    realm.run("expired", "alice", ccache, f"pop/{net.host()}")
    client = fetchmail()
    tap.equal(client.run(realm, ccache), 7, client.output)
    tap.true(client.took < 1 * tap.SLOW, f"took {client.took} s")


def a5_push_burst_commits_deletions():
    maildir = box().fill(2)
    with ap_req() as request, Kpop(kpopd) as client:
        client.send(VERSIONS + frame(request.octets)
                    + b"USER alice\r\nPASS hej\r\nSTAT\r\nRETR 1\r\nRETR 2\r\n"
                    + b"XDELE 1 2\r\nDELE 1\r\nDELE 2\r\nQUIT\r\n")
        client.close()
    tap.await_(lambda: maildir.names() == [], "both messages are deleted")


def a6_another_users_ticket_opens_nothing():
    maildir = box().fill(2)
    before_ = maildir.names()
    client = fetchmail(user="alice")
    tap.equal(client.run(realm, realm.ccache("bob")), 3, client.output)
    tap.equal(maildir.names(), before_, "alice's maildir")
    tap.equal(client.got(), [], "messages bob got")


def a7_every_row_leaves_the_server_serving():
    """The rows themselves: kpop_wire.py; here the memory they cost."""
    workers = kpopd.children("worker")
    hostile = [b"\xff\xff\xff\xff", frame(b"X" * 18), b"GET / HTTP/1.0\r\n",
               VERSIONS + b"\x7f\xff\xff\xff", VERSIONS + frame(b"\x6e\x03abc"),
               b"\x16\x03\x01", VERSIONS + b"QUIT\r\n", VERSIONS + b"\0\0",
               frame(b"KRB5_SENDAUTH_V1.0\0") + frame(b"KPOPV2.0\0")]
    rounds = 10000 if tap.PLAIN else 300

    def attack(count):
        for i in range(count):
            with Line(kpopd.ports["kpop"]) as client:
                client.send(hostile[i % len(hostile)])
                client.half_close()
                client.rest()

    attack(rounds // 10)  # warms the allocator up
    start = [memory(pid, "Rss") for pid in workers]
    attack(rounds)
    grown = [memory(pid, "Rss") - old for pid, old in zip(workers, start)]
    tap.show(f"{rounds} hostile handshakes: workers grew by {grown} octets")
    if tap.PLAIN:
        tap.true(max(grown) < 1 << 20, f"workers grew by {grown} octets")
    tap.equal(kpopd.children("worker"), workers, "the workers still live")
    a1_fetchmail_fetches_two_messages()


def a8_one_octet_a_segment_is_the_same_session():
    session = (b"CAPA\r\nUSER alice\r\nPASS x\r\nSTAT\r\nLIST\r\nRETR 1\r\n"
               b"UIDL\r\nTOP 2 0\r\nQUIT\r\n")
    box().fill(2)
    heard = []
    for one_by_one in (False, True):
        with ap_req() as request, Kpop(kpopd) as client:
            client.send(VERSIONS + frame(request.octets) + session, one_by_one)
            # Told when they are known: the second session finds an index.
            heard.append(client.rest().replace(b" (114 octets)", b""))
    tap.contains(heard[0].decode("latin-1"), "This is message 1.")
    tap.equal(heard[1], heard[0], "octet by octet against in one piece")


def a9_skew_replay_rotation_realms_and_names():
    box().fill(1)
    # An alias and the other service name, of one keytab.
    for service in (realm.service("pop3"), "pop/mail.example.org@EXAMPLE.ORG"):
        with ap_req(service=service, mutual=True) as request, \
                Kpop(kpopd) as client:
            tap.equal(request.judge(client.handshake(request.octets, True)),
                      "ok", f"AP-REP for {service}")
    # Inside the clock skew, outside, and the same octets twice.
    with ap_req(skew=200) as request, Kpop(kpopd) as client:
        client.handshake(request.octets)
    with ap_req(skew=-600) as request, Kpop(kpopd) as client:
        tap.equal(request.error(client.refused(request.octets))[0], 37, "skew")
    with ap_req() as request:
        with Kpop(kpopd) as client:
            client.handshake(request.octets)
        with Kpop(kpopd) as client:
            tap.equal(request.error(client.refused(request.octets))[0], 34,
                      "replay")
    # A new key: old tickets and new ones both work, without a restart.
    old = realm.ccache("alice")
    with ApReq(realm, ccache=old) as request, Kpop(kpopd) as client:
        realm.run("rotate", f"pop/{net.host()}")
        kpopd.own_keytab()
        client.handshake(request.octets)
    with ApReq(realm, ccache=realm.ccache("alice")) as request, \
            Kpop(kpopd) as client:
        client.handshake(request.octets)
    # Another realm: refused, then mapped.
    with ap_req("dave@OTHER.ORG") as request, Kpop(kpopd) as client:
        client.handshake(request.octets)
        tap.contains(client.login("alice"), "-ERR [AUTH]")
    mapping = os.path.join(kpopd.directory, "map")
    with open(mapping, "w", encoding="ascii") as file:
        file.write("dave@OTHER.ORG alice\n")
    with Kpopd(os.path.join(scratch.name, "mapped"), realm,
               principal_map=mapping) as mapped:
        Maildir(mapped, "alice").fill(1)
        with ap_req("dave@OTHER.ORG") as request, Kpop(mapped) as client:
            client.handshake(request.octets)
            tap.contains(client.login("alice"), "+OK")


def a10_five_hundred_silent_peers_do_not_stop_fetchmail():
    peers = [Line(kpopd.ports["kpop"]) for _ in range(500)]
    try:
        a1_fetchmail_fetches_two_messages()
    finally:
        for peer in peers:
            peer.close()


def a11_handshake_to_greeting_under_ten_milliseconds():
    box()
    times = []
    for _ in range(50):
        with ap_req() as request, Kpop(kpopd) as client:
            client.versions()
            began = time.monotonic()
            client.send(frame(request.octets))
            tap.equal(client.read(4), b"\0\0\0\0", "status")
            client.line()
            times.append((time.monotonic() - began) * 1000)
    tap.show(f"AP-REQ to greeting: min {min(times):.2f} median "
             f"{statistics.median(times):.2f} max {max(times):.2f} ms")
    tap.true(statistics.median(times) < 10 * tap.SLOW,
             f"median {statistics.median(times)} ms")


def a12_ap_req_of_60_kib_is_accepted_129_kib_refused():
    box().fill(1)
    with ap_req(pad=60 * 1024) as request, Kpop(kpopd) as client:
        tap.true(len(request.octets) >= 60 * 1024, "the AP-REQ is large")
        client.handshake(request.octets)
        tap.contains(client.login("alice"), "+OK")
    with ap_req() as request, Kpop(kpopd) as client:
        client.versions()
        client.send((129 * 1024).to_bytes(4, "big") + b"\x6e" * 4096)
        tap.equal(request.error(client.framed())[0], 40, "KRB_ERROR")
        tap.equal(client.rest(), b"", "octets behind it")


if __name__ == "__main__":
    tap.main(globals(), before, after)
