#!/usr/bin/env python3
# kpop_wire.py - every way the KPOP handshake can go wrong, N1 to N26, against
# kpopd with a real KDC.  After each row the server must still serve.
# TIME-LIMIT: 300
#
# SPDX-License-Identifier: MIT
import os
import tempfile
import time

from harness import net, tap

net.enter()

from harness.clients import Fetchmail  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import AUTH_USER, Kpopd, give  # noqa: E402
from harness.wire import KPOP, SENDAUTH, VERSIONS, Kpop, Line, frame  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-wire-")
realm = None
kpopd = None

WRONG_PORT = (b"-ERR [AUTH] this port speaks KPOP: Kerberos authentication "
              b"comes first\r\n")


@tap.helper
def before():
    global realm, kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"), "--other")
    # fetchmail goes to 1109, whatever its rc says.
    kpopd = Kpopd(os.path.join(scratch.name, "kpopd"), realm,
                  listen_kpop=f"{net.address()}:1109")
    for user in ("alice", "bob"):
        Maildir(kpopd, user).fill(2)


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


def ap_req(user="alice", service=None, **options):
    return ApReq(realm, service, ccache=realm.ccache(user), **options)


def another(name, **keys):
    """A server of its own for a test."""
    return Kpopd(os.path.join(scratch.name, name), realm, **keys)


def serves(server=None):
    """A whole session still works."""
    server = server or kpopd
    Maildir(server, "alice")
    with ap_req(mutual=True) as request, Kpop(server) as client:
        tap.equal(request.judge(client.handshake(request.octets, True)), "ok",
                  "AP-REP")
        tap.contains(client.login("alice"), "+OK")
        client.ok("STAT")
        client.ok("QUIT")
        tap.equal(client.rest(), b"", "octets behind QUIT")


def answer(octets, server=None):
    """Everything the server says to octets until it closes."""
    with Kpop(server or kpopd) as client:
        client.send(octets)
        return client.rest()


def refusal(request, server=None):
    """(code, text) of the KRB_ERROR to an AP-REQ."""
    with Kpop(server or kpopd) as client:
        return request.error(client.refused(request.octets))


def n1_silence_is_answered_after_ten_seconds():
    began = time.monotonic()
    with Line(kpopd.ports["kpop"], seconds=20) as client:
        tap.equal(client.rest(), WRONG_PORT, "answer to silence")
    took = time.monotonic() - began
    tap.true(9 < took < 12 * tap.SLOW, f"answered after {took} s")
    serves()


def n2_quit_is_answered_at_once():
    for octets, start in ((b"QUIT\r\n", b""), (VERSIONS + b"QUIT\r\n", b"\0")):
        began = time.monotonic()
        heard = answer(octets)
        tap.true(heard.startswith(start + b"+OK") and heard.endswith(b"\r\n"),
                 f"{octets!r}: {heard!r}")
        tap.true(time.monotonic() - began < 1 * tap.SLOW, "at once")
    client = Fetchmail(os.path.join(scratch.name, "n2"), 1109)
    tap.equal(client.run(realm, realm.empty_ccache()), 7, client.output)
    serves()


def n3_pop3_commands_are_refused_without_reading_a_password():
    mark = kpopd.mark()
    for octets in (b"CAPA\r\n", b"USER alice\r\nPASS s3cret-w0rd\r\n",
                   b"AUTH GSSAPI\r\n", b"GET / HTTP/1.0\r\n\r\n"):
        tap.equal(answer(octets), WRONG_PORT, f"answer to {octets!r}")
    tap.lacks(kpopd.log(mark), "s3cret-w0rd", "log")
    serves()


def n4_tls_client_hello_gets_an_alert():
    hello = bytes.fromhex("1603010200010001fc0303") + b"\x55" * 500
    tap.equal(answer(hello).hex(), "15030100020228", "alert")
    serves()


def n5_kerberos_4_gets_a_sentence():
    tap.equal(answer(b"AUTHV0.1KPOPV0.1" + b"\0\0\0\x04abcd"),
              b"-ERR [AUTH] Kerberos 4 KPOP is not supported; use Kerberos 5"
              b"\r\n", "answer")
    serves()


def n6_bad_sendauth_version_gets_01():
    for octets in (b"\xff\xff\xff\xff", b"\x10\0\0\0", b"\0\0\0\0",
                   frame(SENDAUTH[:-1]) + frame(KPOP),
                   frame(b"KRB5_SENDAUTH_V9.9\0") + frame(KPOP)):
        tap.equal(answer(octets), b"\1", f"answer to {octets!r}")
    serves()


def n7_bad_application_version_gets_02():
    for octets in (b"\0\0\0\0", b"\x7f\xff\xff\xff", frame(KPOP[:-1]),
                   frame(b"KPOPV2.0\0"), frame(b"KPOPV0.1\0"),
                   frame(b"justjunk\0")):
        tap.equal(answer(frame(SENDAUTH) + octets), b"\2",
                  f"answer to {octets!r}")
    serves()


def n8_impossible_ap_req_length_gets_krb_error_40():
    with ap_req() as judge:
        for length in (b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff",
                       (129 * 1024).to_bytes(4, "big")):
            with Kpop(kpopd) as client:
                client.versions()
                client.send(length)
                code, text = judge.error(client.framed())
                tap.equal(code, 40, f"code for length {length!r}")
                tap.true(text != "", "a text for the user")
                tap.equal(client.rest(), b"", "octets behind it")
    serves()


def n9_junk_ap_req_gets_krb_error_40_or_60():
    with ap_req() as request:
        real = request.octets
        gss = bytes.fromhex("6082" + f"{len(real) + 13:04x}"
                            "06092a864886f712010202" "0100") + real
        for octets in (b"junk" * 20, real[:100], b"\x7e" + real[1:], gss,
                       b"\x6e"):
            request.octets = octets
            code, text = refusal(request)
            tap.true(code in (40, 60), f"code {code} for {octets[:20]!r}")
            tap.true(text != "", "a text for the user")
    serves()


def n10_flipped_bit_gets_krb_error_31():
    for part in ("ticket", "authenticator"):
        with ap_req(flip=part) as request:
            tap.equal(refusal(request)[0], 31, f"code for the {part}")
    serves()


def n11_replay_is_refused_across_workers():
    with another("n11", auth_processes=2) as server, ap_req() as request:
        with Kpop(server) as client:
            client.handshake(request.octets)
        # Several at once, so that every worker and auth process sees it.
        clients = [Kpop(server).versions() for _ in range(8)]
        for client in clients:
            client.send(frame(request.octets))
        for client in clients:
            tap.equal(request.error(client.framed())[0], 34, "code")
            client.close()
        serves(server)
        server.stop()
        server.start()
        tap.equal(refusal(request, server)[0], 34, "code after a restart")


def n12_clock_skew_gets_krb_error_37_and_names_the_clock():
    for skew in (600, -600):
        mark = kpopd.mark()
        with ap_req(skew=skew) as request:
            code, text = refusal(request)
            tap.equal(code, 37, f"code at {skew} s")
            tap.contains(text, "clock")
        kpopd.await_log(r"event=kpop\.refused .*alice@EXAMPLE\.ORG", mark)
    with ap_req(skew=200) as request, Kpop(kpopd) as client:
        client.handshake(request.octets)
    serves()


def n13_expired_ticket_gets_krb_error_32_and_names_kinit():
    ccache = realm.empty_ccache()
    realm.run("expired", "alice", ccache, f"pop/{net.host()}")
    with ApReq(realm, ccache=ccache) as request:
        code, text = refusal(request)
        tap.equal(code, 32, "code")
        tap.contains(text, "kinit")
    serves()


def n14_name_not_in_keytab_gets_krb_error_35():
    with ap_req(service="pop/nokey@EXAMPLE.ORG") as request:
        code, text = refusal(request)
        tap.equal(code, 35, "code")
        tap.contains(text, f"pop/{net.host()}", "the wanted service")
    serves()


def n15_host_ticket_gets_krb_error_35_before_any_ap_rep():
    with ap_req(service=realm.service("host"), mutual=True) as request:
        tap.equal(refusal(request)[0], 35, "code")
    serves()


def n16_unknown_kvno_gets_krb_error_44():
    mark = kpopd.mark()
    with ap_req(service="pop/rekeyed@EXAMPLE.ORG") as request:
        code, text = refusal(request)
        tap.equal(code, 44, "code of a newer kvno")
        tap.contains(text, "kdestroy")
        tap.contains(text, "kinit")
    kpopd.await_log(r"event=\S+ level=error .*kvno", mark)
    # The other way round: the old key was purged from the keytab.
    old = realm.ccache("alice")
    with ApReq(realm, realm.service("pop3"), ccache=old) as request:
        realm.run("rotate", f"pop3/{net.host()}")
        realm.run("purge", f"pop3/{net.host()}")
        give(realm.keytab, AUTH_USER)
        tap.equal(refusal(request)[0], 44, "code of an old kvno")
    serves()


def n17_missing_keytab_gets_krb_error_45():
    keytab = os.path.join(scratch.name, "n17.keytab")
    realm.run("keytab", keytab, f"pop/{net.host()}")
    give(keytab, AUTH_USER)
    with another("n17", keytab=keytab) as server:
        serves(server)
        os.rename(keytab, keytab + ".away")
        mark = server.mark()
        with ap_req() as request:
            tap.equal(refusal(request, server)[0], 45, "code")
        server.await_log(r"level=error .*n17\.keytab", mark)
        os.rename(keytab + ".away", keytab)
        serves(server)


def n18_unusable_replay_cache_fails_closed_with_60():
    with another("n18") as server:
        serves(server)
        cache = os.path.join(server.state, "replay")
        os.rename(cache, cache + ".away")
        os.mkdir(cache)
        mark = server.mark()
        with ap_req() as request:
            tap.equal(refusal(request, server)[0], 60, "code")
        server.await_log(r"level=error .*replay", mark)
        os.rmdir(cache)
        os.rename(cache + ".away", cache)
        serves(server)


def n19_half_close_at_every_step():
    with ap_req() as request:
        whole = (VERSIONS + frame(request.octets)
                 + b"USER alice\r\nPASS x\r\nSTAT\r\n")
        steps = [0, 1, 4, 22, 23, 27, 36, 38, 40, 41, 300,
                 len(VERSIONS) + 4 + len(request.octets),
                 len(whole) - 16, len(whole) - 6, len(whole)]
        for step in steps:
            with Kpop(kpopd) as client:
                client.send(whole[:step])
                client.half_close()
                client.rest()
    workers = kpopd.children("worker")
    serves()
    tap.equal(kpopd.children("worker"), workers, "the workers still live")


def n20_stall_meets_the_deadline():
    with another("n20", login_timeout=2) as server, ap_req() as request:
        for octets in (VERSIONS, VERSIONS + frame(request.octets)[:200],
                       VERSIONS[:30]):
            began = time.monotonic()
            with Kpop(server) as client:
                client.send(octets)
                heard = client.rest()
            took = time.monotonic() - began
            tap.true(heard in (b"", b"\0"), f"heard {heard!r}")
            tap.true(1.5 < took < 5 * tap.SLOW, f"closed after {took} s")
        serves(server)


def n21_refusal_is_read_before_any_reset():
    with ap_req(flip="ticket") as request:
        for _ in range(20):
            with Kpop(kpopd) as client:
                client.versions()
                client.send(frame(request.octets) + b"USER alice\r\n" * 2000)
                # The unread input must not turn into a reset.
                tap.equal(request.error(client.framed())[0], 31, "code")
                tap.equal(client.rest(), b"", "octets behind it")
    serves()


def n22_odd_lines_after_the_handshake():
    with ap_req() as request, Kpop(kpopd) as client:
        client.handshake(request.octets)
        for octets in (b"USER ali\0ce\r\n", b"\xff\xfe\r\n", b"X" * 5000
                       + b"\r\n", b"USER alice\0bob\r\n"):
            client.send(octets)
            tap.contains(client.line(), "-ERR", f"answer to {octets[:9]!r}")
        tap.contains(client.login("alice"), "+OK")
        client.ok("QUIT")
    serves()


def n23_pass_order_and_blanks():
    with ap_req() as request, Kpop(kpopd) as client:
        client.handshake(request.octets)
        client.err("PASS x")
        client.ok("USER bob")
        client.ok("USER alice")
        client.ok("PASS with many blanks ")
        client.ok("QUIT")
    serves()


def n24_another_principal_never_opens_the_box():
    alice = Maildir(kpopd, "alice")
    names = alice.names()
    for user in ("bob", "carol/admin", "dave@OTHER.ORG"):
        heard = []
        for mailbox in ("alice", "no-such-user"):
            with ap_req(user) as request, Kpop(kpopd) as client:
                client.handshake(request.octets)
                heard.append(client.login(mailbox))
                tap.contains(heard[-1], "-ERR [AUTH]", f"answer to {user}")
                tap.equal(client.rest(), b"", "closed behind it")
        tap.equal(heard[1], heard[0], "a mailbox that isn't there")
    tap.equal(alice.names(), names, "alice's maildir")
    serves()


def n25_ticket_with_addresses_is_accepted():
    with ApReq(realm, keytab=realm.env["REALM_USERS"], user="alice",
               addresses="192.0.2.7") as request, Kpop(kpopd) as client:
        client.handshake(request.octets)
        tap.contains(client.login("alice"), "+OK")
    with another("n25", check_addresses="yes") as server, \
            ApReq(realm, keytab=realm.env["REALM_USERS"], user="alice",
                  addresses="192.0.2.7") as request:
        tap.equal(refusal(request, server)[0], 38, "code when checked")
    serves()


def ended(client):
    """The server has hung up, with a reset or without."""
    try:
        return client.socket.recv(1) == b""
    except ConnectionResetError:
        return True


def n26_a_thousand_idle_handshakes_leave_room():
    with another("n26", max_unauthenticated=200) as server:
        idle = []
        for _ in range(1000):
            # Each answered before the next comes: their order is certain.
            idle.append(Kpop(server).versions())
        serves(server)
        # The oldest had to go, the youngest may go on.
        tap.true(ended(idle[0]), "the oldest is gone")
        with ap_req() as request:
            idle[-1].send(frame(request.octets))
            tap.equal(idle[-1].read(4), b"\0\0\0\0", "the youngest logs in")
        for client in idle:
            client.close()
    with another("n26ip", max_sessions_per_ip=10) as server:
        greedy = [Line(server.ports["kpop"]) for _ in range(10)]
        serves(server)
        tap.equal(greedy[0].rest(), b"", "its oldest had to go")
        # Who has logged in stays, whatever else comes from there.
        Maildir(server, "alice")
        with ap_req() as request, Kpop(server) as client:
            client.handshake(request.octets)
            client.login("alice")
            more = [Line(server.ports["kpop"]) for _ in range(20)]
            client.ok("NOOP")
        for line in greedy + more:
            line.close()


def keytab_without_our_own_key_is_the_admins_to_mend():
    keytab = os.path.join(scratch.name, "own.keytab")
    realm.run("keytab", keytab, f"pop/{net.host()}", "pop3/" + net.host())
    give(keytab, AUTH_USER)
    with another("own", keytab=keytab) as server:
        os.unlink(keytab)
        realm.run("keytab", keytab, "pop3/" + net.host())
        give(keytab, AUTH_USER)
        mark = server.mark()
        with ap_req() as request:
            code, text = refusal(request, server)
        tap.true(code in (35, 44), f"code {code}")
        tap.contains(text, "tell the administrator")
        tap.lacks(text, "ask for")
        server.await_log(r"level=error .*own\.keytab", mark)


def unreadable_keytab_is_logged_with_its_reason():
    keytab = os.path.join(scratch.name, "shut.keytab")
    realm.run("keytab", keytab, f"pop/{net.host()}")
    give(keytab, AUTH_USER)
    with another("shut", keytab=keytab) as server:
        os.chmod(keytab, 0)
        mark = server.mark()
        with ap_req() as request:
            tap.equal(refusal(request, server)[0], 45, "code")
        server.await_log(r"level=error .*shut\.keytab.*Permission denied"
                         r"|level=error .*Permission denied.*shut\.keytab",
                         mark)


def keytab_that_others_may_read_is_warned_of():
    keytab = os.path.join(scratch.name, "wide.keytab")
    realm.run("keytab", keytab, f"pop/{net.host()}")
    give(keytab, AUTH_USER)
    os.chmod(keytab, 0o444)
    with another("wide", keytab=keytab) as server:
        server.await_log(r"event=config\.keytab level=warning .*wide\.keytab")


if __name__ == "__main__":
    tap.main(globals(), before, after)
