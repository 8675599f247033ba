#!/usr/bin/env python3
# gssapi.py - AUTH GSSAPI on the wire, with tickets of a real KDC: who gets in,
# and every way in which a token, a ticket or a choice is refused.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import os
import random
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness import sasl  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.realm import Realm  # noqa: E402
from harness.server import AUTH_USER, Kpopd, give  # noqa: E402
from harness.wire import Pop3, VERSIONS, Kpop, frame  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-gssapi-")
realm = None
kpopd = None
SERVICES = ("imap", "http")


@tap.helper
def before():
    global realm, kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"), "--other")
    for name in SERVICES:
        kadmin(f"addprinc -randkey {name}/{net.host()}",
               f"ktadd -q -k {realm.keytab} -norandkey {name}/{net.host()}")
    kpopd = server("kpopd")


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


def kadmin(*commands):
    subprocess.run(["sh", os.path.join(net.ROOT, "tests/lib/realm.sh"),
                    "admin", realm.directory], text=True, check=True,
                   input="".join(c + "\n" for c in commands),
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def server(name, **keys):
    keys.setdefault("mechanisms", "GSSAPI")
    own = Kpopd(os.path.join(scratch.name, name), realm,
                listen_pop3=f"{net.address()}:0", **keys)
    for user in ("alice", "bob"):
        Maildir(own, user).fill(1)
    return own


def ticket(user="alice", service=None, **more):
    return sasl.Gss(realm, realm.ccache(user), service, **more)


def login(gss, own=None, **more):
    """The last answer; a session behind +OK is ended in good order."""
    with Pop3(own or kpopd) as client:
        answer, _ = sasl.run(client, sasl.gssapi(client, gss, **more))
        if answer.startswith("+OK"):
            client.ok("STAT")
            client.ok("QUIT")
            client.rest()
        else:
            client.err("STAT")
    return answer


def gets_in(gss, own=None, **more):
    tap.contains(login(gss, own, **more), "+OK")


def refused(gss, own=None, pattern=None, start="-ERR [AUTH]", **more):
    """Refused, and the log says why."""
    mark = (own or kpopd).mark()
    answer = login(gss, own, **more)
    tap.true(answer.startswith(start), f"{more}: {answer}")
    if pattern:
        (own or kpopd).await_log(pattern, mark)
    return answer


def serves(own=None):
    with ticket() as gss:
        gets_in(gss, own)


def token_answer(octets, own=None):
    """What the first token alone is answered."""
    with Pop3(own or kpopd) as client:
        tap.equal(client.command("AUTH GSSAPI"), "+ ", "the empty challenge")
        return client.command(sasl.encode(octets))


def g1_no_initial_token_gets_an_empty_challenge():
    with Pop3(kpopd) as client:
        tap.equal(client.command("auth gssapi"), "+ ", "challenge")
        tap.contains(client.command("*"), "-ERR")
        tap.equal(client.command("AUTH GSSAPI"), "+ ", "challenge")
    # An empty initial response is no token.
    with Pop3(kpopd) as client:
        client.err("AUTH GSSAPI =", "-ERR [AUTH]")
    serves()


def g2_offer_is_no_layer_at_all():
    with ticket() as gss:
        gets_in(gss)
        tap.equal(gss.offer, b"\1\0\0\0", "layers and size of the server")


def g3_choices_that_were_not_offered_are_refused():
    layers = (b"\2\0\x10\0", b"\4\0\x10\0", b"\3\0\x10\0", b"\2\0\0\0",
              b"\7\xff\xff\xff", b"\xff" * 4, b"\1\0\0", b"\1", b"")
    others = (b"\0\0\0\0", b"\x81\0\0\0", b"\1\0\0\1", b"\1\xff\xff\xff")
    for choice, sealed in [(c, s) for s in (False, True)
                           for c in layers + others] + [(b"\1\0\0\0", True)]:
        with ticket() as gss:
            answer = login(gss, choice=choice, sealed=sealed)
        tap.true(answer.startswith("-ERR [AUTH]"),
                 f"choice {choice!r}, sealed: {sealed}: {answer}")
    serves()


def g4_authzid_is_empty_or_the_own_name():
    for authzid in (b"", b"alice", b"alice\0", b"alice@EXAMPLE.ORG"):
        with ticket() as gss:
            tap.contains(login(gss, authzid=authzid), "+OK", repr(authzid))
            tap.true("user=alice" in kpopd.log(), "the log")
    for authzid in (b"bob", b"bob\0", b"alice\0\0", b"al\0ice", b"\0alice",
                    b"alice\0bob", b"bob\0alice", b"bob@EXAMPLE.ORG",
                    b"alice@OTHER.ORG", b"ALICE", b" alice", b"alice ",
                    b"../alice", b"alice\xff", b"\xc0\xafalice", b"root",
                    b"alice\n", b"a" * 300, b"a" * 70000):
        if len(authzid) > 48000:
            continue  # longer than a line may be
        with ticket() as gss:
            refused(gss, authzid=authzid)
    mark = kpopd.mark()
    with ticket("carol/admin") as gss:
        refused(gss, authzid=b"carol")
    with ticket("dave@OTHER.ORG") as gss:
        refused(gss, authzid=b"alice")
    with ticket("alice@OTHER.ORG") as gss:
        refused(gss, authzid=b"alice")
    with ticket("alice@OTHER.ORG") as gss:
        refused(gss)
    tap.lacks(kpopd.log(mark), "auth.ok", "log")


def g5_any_pop_key_of_the_keytab_is_accepted():
    for service in (f"pop@{net.host()}", f"pop3@{net.host()}",
                    "pop/mail.example.org@EXAMPLE.ORG"):
        with ticket(service=service) as gss:
            gets_in(gss)


def r50_16_tickets_of_other_services_are_refused():
    """Though their keys are in the keytab."""
    for name in ("host", *SERVICES):
        with ticket(service=realm.service(name)) as gss:
            refused(gss, pattern=rf"event=\S+ .*{name}/{net.host()}")
    serves()


@tap.helper
def recorded():
    """The lines of a login that worked."""
    lines = []
    with ticket() as gss, Pop3(kpopd) as client:
        way = sasl.gssapi(client, gss)
        lines.append(next(way))
        try:
            while True:
                lines.append(way.send(client.command(lines[-1])))
        except StopIteration:
            pass
        client.ok("QUIT")
        client.rest()
    return lines


def replay(lines):
    """The first answer that isn't a challenge."""
    with Pop3(kpopd) as client:
        for line in lines:
            answer = client.command(line)
            if not answer.startswith("+ "):
                break
        return answer


def g6_whole_recorded_login_is_refused():
    """By every worker and auth process, at once, and behind a restart."""
    lines = recorded()
    mark = kpopd.mark()
    clients = [Pop3(kpopd) for _ in range(12)]
    for client in clients:
        client.send("".join(line + "\r\n" for line in lines[:2]).encode())
    for client in clients:
        tap.equal(client.line(), "+ ", "the empty challenge")
        tap.contains(client.line(), "-ERR [AUTH]")
        client.close()
    kpopd.await_log(r"event=sasl\.refused .*replay", mark)
    tap.lacks(kpopd.log(mark), "auth.ok", "log")
    kpopd.stop()
    kpopd.start()
    tap.contains(replay(lines), "-ERR [AUTH]", "behind a restart")
    serves()


def g6_first_token_of_an_aborted_login_is_spent():
    with ticket() as gss, Pop3(kpopd) as client:
        client.command("AUTH GSSAPI")
        token = gss.init(b"")
        tap.contains(client.command(sasl.encode(token)), "+ ")
        client.err("*")
    tap.contains(token_answer(token), "-ERR [AUTH]")


def g6_ticket_spent_on_one_port_is_worth_nothing_on_the_other():
    """What AUTH GSSAPI was shown is no login by KPOP."""
    with ticket() as gss:
        token = gss.init(b"")
    ap_req = token[token.index(b"\x01\x00\x6e") + 2:]
    for spent in (False, True):
        if spent:
            tap.contains(token_answer(token), "+ ", "a good token")
        with Kpop(kpopd) as client:
            client.send(VERSIONS + frame(ap_req))
            heard = client.rest()
        tap.true(heard[:1] == b"\0" and heard[1:5] != b"\0\0\0\0",
                 f"spent: {spent}: {heard[:40]!r}")
        if not spent:
            with ticket() as gss:
                token = gss.init(b"")
            ap_req = token[token.index(b"\x01\x00\x6e") + 2:]


def g7_spnego_is_refused_without_being_parsed():
    """Whatever stands behind the OID: same answer, same reason, and the
    token inside is not spent."""
    with ticket(spnego=True) as gss:
        token = gss.init(b"")
    spnego = bytes.fromhex("06062b0601050502")
    tap.contains(token[:14].hex(), spnego.hex(), "a token of SPNEGO")
    inner = token[token.index(b"\x60\x82", 2):] if b"\x60\x82" in token[
        2:] else token[token.index(b"\x60", 2):]
    heard = set()
    for octets in (token, token[:20], token[:-1], token + b"x",
                   b"\x60\x0c" + spnego + b"\xa0\x84\xff\xff",
                   b"\x60\x82\x40\0" + spnego + b"\xa0" * 16376):
        mark = kpopd.mark()
        heard.add(token_answer(octets))
        kpopd.await_log(r"event=sasl\.refused .*SPNEGO", mark)
    tap.equal(len(heard), 1, f"one answer of {heard}")
    tap.true(heard.pop().startswith("-ERR [AUTH]"), "the answer")
    tap.contains(token_answer(inner), "+ ", "the Kerberos token inside")


def g7_garbage_and_bent_tokens_are_refused():
    chance = random.Random(4752)
    with ticket() as gss:
        good = gss.init(b"")
    workers = kpopd.children()
    tokens = [b"", b"\0", b"\x60", b"\x60\0", b"\x60\x80", b"\x60\x84" +
              b"\xff" * 4, b"NTLMSSP\0\1\0\0\0", good[:-1], good + b"\0",
              good[:30], good[13:], b"\x61" + good[1:]]
    for count in (1, 100, 1000, 10000, 49000):
        tokens.append(chance.randbytes(count))
        tokens.append(b"\x60\x82" + count.to_bytes(2, "big") + good[4:17]
                      + chance.randbytes(count - 1))
    for _ in range(200 if tap.PLAIN else 20):
        at = chance.randrange(len(good))
        tokens.append(good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)])
                      + good[at + 1:])
    taken = 0
    for token in tokens:
        answer = token_answer(token)
        # Bits that nothing protects may be anything: tkt-vno's neighbours,
        # the realm's name; then the ticket is still good, once.
        taken += answer.startswith("+ ")
        tap.true(answer.startswith(("-ERR [AUTH]", "+ ")),
                 f"{token[:20]!r}: {answer}")
    tap.true(taken <= 3, f"{taken} bent tokens taken")
    tap.equal(kpopd.children(), workers, "the processes still live")
    serves()


def g7_rubbish_behind_the_token_is_refused():
    """In place of the empty answer and in place of the choice."""
    chance = random.Random(4121)
    for empty, choice in ((b"x", None), (b"\1\0\0\0", None),
                          (chance.randbytes(40000), None), (b"", b""),
                          (b"", b"x"), (b"", chance.randbytes(60)),
                          (b"", b"\1\0\0\0"),
                          (b"", b"\5\4\0\xff" + b"\0" * 40),
                          (b"", chance.randbytes(40000))):
        with ticket() as gss, Pop3(kpopd) as client:
            client.command("AUTH GSSAPI")
            gss.init(sasl.decode(client.command(sasl.encode(gss.init(b"")))))
            answer = client.command(sasl.encode(empty))
            if choice is not None:
                tap.contains(answer, "+ ")
                answer = client.command(sasl.encode(choice))
            tap.contains(answer, "-ERR [AUTH]", f"{empty[:9]} {choice}"[:40])
            client.err("STAT")
    serves()


def g7_flipped_bit_of_the_choice_is_refused():
    chance = random.Random(4)
    with ticket() as gss:
        for _ in range(100 if tap.PLAIN else 10):
            with Pop3(kpopd) as client:
                way = sasl.gssapi(client, gss.reset())
                lines = [next(way)]
                while len(lines) < 4:
                    lines.append(way.send(client.command(lines[-1])))
                way.close()
                octets = bytearray(sasl.decode("+ " + lines[3]))
                # Nothing protects the count of a rotation, 6 and 7.
                place = chance.choice([i for i in range(len(octets))
                                       if i not in (6, 7)])
                octets[place] ^= 1 << chance.randrange(8)
                tap.contains(client.command(sasl.encode(bytes(octets))),
                             "-ERR [AUTH]", octets.hex())
                client.err("STAT")


def g9_unknown_kvno_is_named_and_the_keytab_is_read_again():
    name = f"pop3/{net.host()}"
    with ticket(service=realm.service("pop3")) as gss:
        gets_in(gss)  # its ticket has the old key
        realm.run("rekey", name)
        with ticket(service=realm.service("pop3")) as newer:
            refused(newer, pattern=rf"level=error .*{name}.*kvno")
        gets_in(gss.reset())
        realm.run("rotate", name)
        kpopd.own_keytab()
        with ticket(service=realm.service("pop3")) as newer:
            gets_in(newer)
        gets_in(gss.reset())
        realm.run("purge", name)
        kpopd.own_keytab()
        refused(gss.reset(), pattern=r"event=\S+ .*kvno")


def g9_missing_keytab_is_the_servers_fault():
    keytab = os.path.join(scratch.name, "own.keytab")
    realm.run("keytab", keytab, f"pop/{net.host()}")
    give(keytab, AUTH_USER)
    with server("keytab", keytab=keytab) as own:
        serves(own)
        os.rename(keytab, keytab + ".away")
        with ticket() as gss:
            refused(gss, own, r"level=error .*own\.keytab", "-ERR [SYS/")
        os.rename(keytab + ".away", keytab)
        serves(own)


def g10_wrong_clock_is_named():
    faketime = subprocess.run(
        ["sh", "-c", ". tests/lib/realm.sh; realm_faketime_library"],
        cwd=net.ROOT, text=True, check=False, stdout=subprocess.PIPE)
    if faketime.returncode != 0:
        raise tap.Skip("libfaketime is not installed")
    ccache = realm.ccache("alice")
    realm.run("ticket", ccache, f"pop/{net.host()}")
    for skew, start in ((600, "-ERR [AUTH]"), (200, "+OK")):
        mark = kpopd.mark()
        with sasl.Gss(realm, ccache, LD_PRELOAD=faketime.stdout.strip(),
                      FAKETIME=f"{skew:+d}s", NO_FAKE_STAT="1") as gss:
            answer = login(gss)
        tap.true(answer.startswith(start), f"{skew} s: {answer}")
        if start != "+OK":
            # The second may change on the way.
            kpopd.await_log(rf"event=sasl\.refused .*alice@EXAMPLE\.ORG .*"
                            rf"delta=({skew - 1}|{skew}|{skew + 1}) "
                            r".*Clock skew", mark)


def r32_5_expired_ticket_is_refused():
    ccache = realm.empty_ccache()
    realm.run("expired", "alice", ccache, f"pop/{net.host()}")
    faketime = subprocess.run(
        ["sh", "-c", ". tests/lib/realm.sh; realm_faketime_library"],
        cwd=net.ROOT, text=True, check=False,
        stdout=subprocess.PIPE).stdout.strip()
    # A client of two days ago, or it would not send the ticket.
    with sasl.Gss(realm, ccache, LD_PRELOAD=faketime, FAKETIME="-2d",
                  NO_FAKE_STAT="1") as gss:
        refused(gss, pattern=r"event=sasl\.refused .*Ticket expired")


def unusable_replay_cache_fails_closed():
    with server("replay") as own:
        serves(own)
        cache = os.path.join(own.state, "replay")
        os.rename(cache, cache + ".away")
        os.mkdir(cache)
        with ticket() as gss:
            refused(gss, own, r"level=error .*replay", "-ERR [SYS/")
        os.rmdir(cache)
        os.rename(cache + ".away", cache)
        serves(own)


def weak_tickets_are_refused():
    with server("weak", keytab=give_weak()) as own, \
            ticket(service="pop/weak@EXAMPLE.ORG") as gss:
        refused(gss, own, r"event=\S+ .*pop/weak")
        own.configure(weak_enctypes="yes")
        own.stop()
        own.start()
        gets_in(gss.reset(), own)


@tap.helper
def give_weak():
    path = os.path.join(realm.directory, "weak.keytab")
    give(path, AUTH_USER)
    return path


if __name__ == "__main__":
    tap.main(globals(), before, after)
