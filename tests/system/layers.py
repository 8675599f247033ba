#!/usr/bin/env python3
# layers.py - the security layers of AUTH GSSAPI on the wire: where they begin,
# what they carry, and that a packet which is not the next one ends the session
# and deletes nothing.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import os
import pwd
import random
import re
import shutil
import signal
import tempfile

from harness import net, tap

net.enter()

from harness import sasl  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.realm import Realm  # noqa: E402
from harness.server import AUTH_USER, WORKER_USER  # noqa: E402
from harness.server import Kpopd, check, memory, passwords  # noqa: E402
from harness.wire import Kpop, Pop3, VERSIONS, frame  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-layers-")
realm = None
kpopd = None
gss = None

INTEGRITY, SECRECY = b"\2", b"\4"
SIZE = b"\x00\xff\xff"
BIG = "Subject: big\n\n" + ".dots and more than a packet\n" * 20000


@tap.helper
def before():
    global realm, kpopd, gss
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    kpopd = server("kpopd", 256)
    gss = sasl.Gss(realm, realm.ccache("alice"))


@tap.helper
def after():
    if gss:
        gss.close()
    if kpopd:
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


def server(name, max_ssf, env=None):
    directory = os.path.join(scratch.name, name)
    return Kpopd(directory, realm, env, mechanisms="GSSAPI PLAIN",
                 listen_pop3=f"{net.address()}:0", plaintext="always",
                 passwords="file:" + passwords(directory, "bob"),
                 max_ssf=max_ssf)


@tap.helper
def box():
    return Maildir(kpopd, "alice").empty().fill(3)


def login(layer=SECRECY, size=SIZE):
    """A session under a layer; one that ended may hold the lock a moment."""
    def attempt():
        client = Pop3(kpopd)
        answer, _ = sasl.run(client, sasl.gssapi(
            client, gss.reset(), choice=layer + size))
        if answer.startswith("-ERR [IN-USE]"):
            client.close()
            return None
        tap.contains(answer, "+OK")
        return sasl.Layered(client, gss, layer == SECRECY)
    return tap.await_(attempt, "the maildrop is free")


def bye(client):
    client.ok("QUIT")
    tap.equal(client.rest(), b"", "octets behind QUIT")
    client.close()


def ends(client, maildir):
    """The session has ended and nothing was deleted."""
    tap.true(client.ended(), "the session ended")
    client.close()
    tap.equal(len(maildir.names()), 3, "messages")


def r50_11_layer_begins_behind_ok():
    for layer, ssf in ((INTEGRITY, 1), (SECRECY, 256)):
        maildir = box()
        maildir.deliver(BIG)
        mark = kpopd.mark()
        client = login(layer)
        kpopd.await_log(rf"event=sasl\.layer .*user=alice ssf={ssf}\n", mark)
        tap.contains(client.multi("CAPA"), "UIDL")
        client.ok("RETR 4")
        tap.equal("\n".join(client.lines()) + "\n", BIG, "the big message")
        tap.contains("\n".join(client.multi("RETR 1")), "message 1.")
        client.err("AUTH GSSAPI")
        client.ok("DELE 1")
        bye(client)
        tap.equal(len(maildir.names()), 3, "messages left")


@tap.helper
def checked(name, **keys):
    """A configuration and no state_dir yet; what kpopctl check answers."""
    directory = os.path.join(scratch.name, name)
    other = Kpopd(directory, realm, start=False, max_ssf=256,
                  listen_pop3=f"{net.address()}:0", plaintext="always",
                  passwords="file:" + passwords(directory, "bob"), **keys)
    os.rmdir(other.state)
    return other, check(other.path, other.env)


@tap.helper
def owners(other):
    """Of the replay caches, by name."""
    return {name: pwd.getpwuid(os.stat(os.path.join(other.state, name))
                               .st_uid).pw_name
            for name in os.listdir(other.state) if name.startswith("replay")}


@tap.helper
def need_root():
    if os.getuid() != 0:
        raise tap.Skip("all files are of one user")


def state_folder_is_made_where_layers_are_wanted():
    need_root()
    other, (status, output) = checked("new")
    tap.equal(status, 0, output)
    tap.equal(owners(other), {"replay": AUTH_USER,
                              "replay.workers": WORKER_USER})
    other.start().stop()


def without_gssapi_there_are_no_layers():
    need_root()
    other, (status, output) = checked("none", mechanisms="USER")
    tap.equal(status, 0, output)
    tap.equal(owners(other), {"replay": AUTH_USER})
    other.start().stop()


def keytab_that_comes_later_finds_all_as_it_should_be():
    need_root()
    other, _ = checked("later", mechanisms="GSSAPI")
    shutil.rmtree(other.state, ignore_errors=True)
    os.rename(other.keytab, other.keytab + ".later")
    tap.equal(check(other.path, other.env)[0], 1, "without a keytab")
    tap.true("replay.workers" not in os.listdir(other.state), "not yet")
    os.rename(other.keytab + ".later", other.keytab)
    Maildir(other, "alice").empty()
    with other.start():
        tap.equal(owners(other), {"replay": AUTH_USER,
                                  "replay.workers": WORKER_USER})
        with Pop3(other) as client:
            answer, _ = sasl.run(client, sasl.gssapi(
                client, gss.reset(), choice=SECRECY + SIZE))
            tap.equal(answer[:3], "+OK", answer)


def r50_11_offer_is_what_max_ssf_allows():
    with Pop3(kpopd) as client:
        sasl.run(client, sasl.gssapi(client, gss.reset(),
                                     choice=SECRECY + SIZE))
        tap.equal(gss.offer[0], 7, "layers of 256")
        tap.true(int.from_bytes(gss.offer[1:], "big") >= 4096, "size")
    with server("one", 1) as own:
        Maildir(own, "alice")
        with Pop3(own) as client:
            answer, _ = sasl.run(client, sasl.gssapi(
                client, gss.reset(), choice=SECRECY + SIZE))
            tap.equal(gss.offer[0], 3, "layers of 1")
            tap.contains(answer, "-ERR [AUTH]", "a layer not offered")
            answer, _ = sasl.run(client, sasl.gssapi(
                client, gss.reset(), choice=INTEGRITY + SIZE))
            tap.contains(answer, "+OK")
            bye(sasl.Layered(client, gss, False))


def g3_choices_of_more_or_none_are_refused():
    for choice in (b"\3" + SIZE, b"\6" + SIZE, b"\7" + SIZE, b"\0" + SIZE,
                   b"\x0a" + SIZE, b"\2\0\0\0", b"\4\0\0\0", b"\4\0\0\x10",
                   b"\4\0", b""):
        for sealed in (False, True):
            with Pop3(kpopd) as client:
                answer, _ = sasl.run(client, sasl.gssapi(
                    client, gss.reset(), choice=choice, sealed=sealed))
                tap.contains(answer, "-ERR [AUTH]", f"{choice} {sealed}")
                client.err("STAT")


def commands_in_the_same_segment_as_the_choice():
    box()
    with Pop3(kpopd) as first:
        way = sasl.gssapi(first, gss.reset(), choice=SECRECY + SIZE)
        lines = [next(way)]
        while len(lines) < 4:
            lines.append(way.send(first.command(lines[-1])))
        way.close()
        client = sasl.Layered(first, gss, True)
        client.send_raw(lines[3].encode() + b"\r\n"
                        + client.packet(b"STAT\r\nLIST\r\nTO")
                        + client.packet(b"P 1 0\r\n")
                        + client.packet(b"QUIT\r\n"))
        tap.contains(first.line(), "+OK", "in clear")
        client.raw = first.buffer
        tap.contains(client.line(), "+OK 3", "STAT")
        tap.contains(client.line(), "+OK", "LIST")
        tap.equal(len(client.lines()), 3, "lines of LIST")
        tap.contains(client.line(), "+OK", "TOP")
        client.lines()
        tap.contains(client.line(), "+OK", "QUIT")
        tap.equal(client.rest(), b"", "the end")


def packets_in_any_pieces_and_of_any_size():
    box()
    client = login()
    client.send(b"STAT\r\n", one_by_one=True)
    tap.contains(client.line(), "+OK 3")
    for command in (b"N", b"O", b"O", b"P", b"\r", b"\n"):
        client.send(command)
    tap.contains(client.line(), "+OK")
    many = int.from_bytes(gss.offer[1:], "big") // 6 - 20
    client.send(b"NOOP\r\n" * many)
    for _ in range(many):
        tap.contains(client.line(), "+OK")
    bye(client)


def packet_with_nothing_in_it_ends_the_session():
    """Or one could keep a session up with them."""
    maildir = box()
    client = login()
    client.ok("DELE 1")
    client.send(b"")
    ends(client, maildir)


def server_keeps_to_the_clients_size():
    for size in (512, 1000, 4096, 65535):
        for layer in (INTEGRITY, SECRECY):
            maildir = box()
            maildir.deliver(BIG)
            client = login(layer, size.to_bytes(3, "big"))
            client.ok("RETR 4")
            tap.equal("\n".join(client.lines()) + "\n", BIG, "the message")
            bye(client)
            tap.true(client.largest <= size,
                     f"a packet of {client.largest} for {size}")


def stop_before_the_maildrop_is_open_is_said_inside_the_layer():
    if not tap.PLAIN:
        raise tap.Skip("the disk's faults are preloaded into plain kpopd")
    hold, control = (os.path.join(scratch.name, name)
                     for name in ("hold", "control"))
    with open(hold, "w", encoding="ascii"):
        pass
    with open(control, "w", encoding="ascii") as file:
        file.write(f"hold {hold}\n")
    env = {"LD_PRELOAD": os.path.join(net.BUILD, "tests/lib/preload_store.so"),
           "KPOP_TEST_MATCH": "/mail/alice", "KPOP_TEST_CONTROL": control}
    with server("stopped", 256, env) as own:
        Maildir(own, "alice").fill(1)
        with Pop3(own) as client:
            way = sasl.gssapi(client, gss.reset(), choice=SECRECY + SIZE)
            line = next(way)
            for _ in range(2):
                line = way.send(client.command(line))
            last = way.send(client.command(line))
            client.send(last.encode() + b"\r\n")
            own.await_log(r"event=auth\.ok .*mechanism=GSSAPI")
            own.process.send_signal(signal.SIGTERM)
            own.await_log("event=process.stop")
            os.unlink(hold)
            tap.contains(client.line(), "+OK")
            layered = sasl.Layered(client, gss, True)
            tap.contains(layered.line(), "-ERR [SYS/TEMP] the server ends")


def clear_input_ends_the_session():
    for octets in (b"STAT\r\n", b"QUIT\r\n", b"\r\n\r\n", b"NOOP\r\n" * 1000):
        maildir = box()
        client = login()
        client.ok("DELE 1")
        client.send_raw(octets)
        ends(client, maildir)


def impossible_lengths_are_refused_at_once():
    for octets in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x01\0\0\0",
                   b"\0\x10\0\0", b"\0\0\0\0", b"\0\0\0\x01x"):
        maildir = box()
        client = login()
        client.ok("DELE 1")
        client.send_raw(octets)
        ends(client, maildir)


def packets_out_of_order_end_the_session():
    """A repeated, a missing, an early and a late one."""
    def repeated(client):
        packet = client.packet(b"NOOP\r\n")
        client.send_raw(packet)
        tap.contains(client.line(), "+OK")
        client.send_raw(packet)

    def dropped(client):
        client.packet(b"RSET\r\n")
        client.send_raw(client.packet(b"QUIT\r\n"))

    def swapped(client):
        first, second = client.packet(b"NOOP\r\n"), client.packet(b"QUIT\r\n")
        client.send_raw(second + first)

    def ours(client):
        client.send_raw(frame(client.echo))

    for bend in (repeated, dropped, swapped, ours):
        for layer in (INTEGRITY, SECRECY):
            maildir = box()
            mark = kpopd.mark()
            client = login(layer)
            client.send(b"DELE 1\r\n")
            head = client.socket.recv(4)
            client.echo = client.socket.recv(int.from_bytes(head, "big"))
            tap.contains(gss.unwrap(client.echo), b"+OK")
            bend(client)
            tap.true(client.ended(), f"{bend.__name__}: the session ended")
            client.close()
            tap.equal(len(maildir.names()), 3, f"{bend.__name__}: messages")
            kpopd.await_log(r"event=session\.end .*user=alice", mark)


def bent_packets_end_the_session():
    chance = random.Random(4121)
    for layer in (INTEGRITY, SECRECY):
        for _ in range(40 if tap.PLAIN else 4):
            maildir = box()
            client = login(layer)
            client.ok("DELE 1")
            packet = bytearray(client.packet(b"QUIT\r\n"))
            # Nothing protects the count of a rotation, 6 and 7.
            place = chance.choice([i for i in range(4, len(packet))
                                   if i not in (10, 11)])
            packet[place] ^= 1 << chance.randrange(8)
            client.send_raw(bytes(packet))
            ends(client, maildir)


def clear_packet_under_secrecy_ends_the_session():
    maildir = box()
    client = login(SECRECY)
    client.ok("DELE 1")
    client.sealed = False
    client.send(b"QUIT\r\n")
    ends(client, maildir)


def packet_of_another_session_ends_the_session():
    maildir = box()
    client = login()
    packet = client.packet(b"QUIT\r\n")
    client.close()
    client = login()
    client.ok("DELE 1")
    client.send_raw(packet)
    ends(client, maildir)


def recorded_login_is_refused_by_every_worker():
    """Workers with layers accept tickets themselves: they share one memory
    of them, and KPOP, which has another, takes no token of GSSAPI."""
    box()
    lines = []
    with Pop3(kpopd) as client:
        way = sasl.gssapi(client, gss.reset(), choice=SECRECY + SIZE)
        lines.append(next(way))
        while len(lines) < 4:
            lines.append(way.send(client.command(lines[-1])))
        way.close()
        tap.contains(client.command(lines[3]), "+OK")
    for _ in range(2):
        mark = kpopd.mark()
        clients = [Pop3(kpopd) for _ in range(8)]
        for client in clients:
            client.send("".join(line + "\r\n" for line in lines[:2]).encode())
        for client in clients:
            tap.equal(client.line(), "+ ", "the empty challenge")
            tap.contains(client.line(), "-ERR [AUTH]")
            client.close()
        kpopd.await_log(r"event=sasl\.refused .*replay", mark)
        pids = set(re.findall(r"event=sasl\.refused .* pid=(\d+)",
                              kpopd.log(mark)))
        tap.equal(len(pids), 2, "workers that refused")
        kpopd.stop()
        kpopd.start()
    token = gss.reset().init(b"")
    with Kpop(kpopd) as client:
        client.send(VERSIONS + frame(token[token.index(b"\1\0\x6e") + 2:]))
        heard = client.rest()
    tap.true(heard[:1] == b"\0" and heard[1:5] != b"\0\0\0\0",
             f"KPOP with a token of GSSAPI: {heard[:40]!r}")


def thousand_logins_leave_nothing():
    """With a layer, and at the same server without one."""
    box()
    count = 1000 if tap.PLAIN else 20

    def log_in(layer, times):
        for _ in range(times):
            if layer:
                bye(login(layer))
                continue
            with Pop3(kpopd) as client:
                answer, _ = sasl.run(client, sasl.gssapi(client, gss.reset()))
                tap.contains(answer, "+OK")
                client.ok("QUIT")
                client.rest()
    for layer in (b"", INTEGRITY, SECRECY):
        log_in(layer, count // 5)
        for _ in range(2):
            workers = kpopd.children("worker")
            size = sum(memory(pid, "Rss") for pid in workers)
            log_in(layer, count)
            grown = sum(memory(pid, "Rss") for pid in workers) - size
            tap.show(f"{count} logins, layer {layer}: workers grew by {grown} "
                     "octets")
            if grown < 128 << 10:
                break
        if tap.PLAIN:
            tap.true(grown < 128 << 10, f"layer {layer}: grew by {grown}")


def password_logins_get_no_layer():
    Maildir(kpopd, "bob").fill(1)
    with Pop3(kpopd) as client:
        answer, _ = sasl.run(client, sasl.plain(client, "bob",
                                                "bob-password"))
        tap.contains(answer, "+OK")
        client.ok("STAT")
        client.ok("QUIT")


if __name__ == "__main__":
    tap.main(globals(), before, after)
