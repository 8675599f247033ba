#!/usr/bin/env python3
# pop3.py - POP3 with USER and PASS on listen_pop3: a raw client, poplib and
# fetchmail against kpopd on maildirs.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import os
import poplib
import re
import tempfile

from harness import net, tap

net.enter()

from harness.clients import Fetchmail  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.server import Kpopd, passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-pop3-")
kpopd = None

USERS = ("alice", "bob", "nobox")

# Stored octets; what the wire must show is worked out by wire_form().
NASTY = {
    "empty file": b"",
    "one dot": b".",
    "one line end": b"\n",
    "dots": b"S: x\n\n.\n..\n...\n.one\nend.\n.",
    "only dots": b".\n.\n.\n",
    "CRLF": b"S: x\r\n\r\nbody\r\n.\r\nend\r\n",
    "LF and CRLF": b"S: x\nT: y\r\n\n\r\na\r\nb\nc\r\n",
    "bare CR": b"S: x\n\na\rb\r\rc\n\r.\n",
    "CR at the end": b"S: x\n\nbody\r",
    "only a CR": b"\r",
    "CR CR LF": b"S: x\r\r\n\r\r\n.\r\r\n",
    "no final line end": b"S: x\n\nno end",
    "no body": b"S: x\nT: y",
    "NUL": b"S: x\n\n\0\0\n.\0\na\0b\n\0",
    "8-bit": b"S: \xe4\n\n" + bytes(range(128, 256)) + b"\n",
    "all octets": bytes(range(256)) * 3,
    "line of 100 kB": b"S: x\n\n" + b"." * 100000 + b"\nend\n",
    "long line without end": b"x" * 100000,
    "dot behind 64 KiB": b"x" * 65535 + b"\n.\n" + b"y" * 65535 + b"\r\n.",
    "CR at 64 KiB": b"x" * 65535 + b"\r\n.\r\n",
}


@tap.helper
def before():
    global kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    kpopd = pop3_server("kpopd")


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    scratch.cleanup()


def pop3_server(name, **keys):
    directory = os.path.join(scratch.name, name)
    keys.setdefault("plaintext", "always")
    return Kpopd(directory, listen_kpop="", listen_pop3=f"{net.address()}:0",
                 passwords="file:" + passwords(directory, *USERS), **keys)


def box(user="alice", server=None):
    return Maildir(server or kpopd, user).empty()


def login(user="alice", server=None):
    return Pop3(server or kpopd).login(user)


def wire_form(stored):
    """What RETR must give, stuffing undone."""
    lines = re.sub(rb"\r\n", b"\n", stored).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    elif lines[-1].endswith(b"\r"):
        lines[-1] = lines[-1][:-1]
    return b"".join(line + b"\r\n" for line in lines)


def retrieve(client, msgno):
    """The octets of RETR, stuffing undone but nothing else touched."""
    client.ok(f"RETR {msgno}")
    octets = client.until(b"\r\n.\r\n", b".\r\n")
    return re.sub(rb"(?m)^\.", b"", octets)


def numbers(lines):
    return dict((int(n), word) for n, word in (x.split() for x in lines))


def poplib_reads_and_deletes():
    maildir = box().fill(3)
    client = poplib.POP3(net.address(), kpopd.ports["pop3"], timeout=20)
    tap.contains(client.getwelcome().decode(), "+OK")
    tap.contains(client.capa(), "USER")
    client.user("alice")
    client.pass_("alice-password")
    count, octets = client.stat()
    tap.equal(count, 3, "STAT's messages")
    listed = client.list()[1]
    tap.equal(sum(int(x.split()[1]) for x in listed), octets, "LIST's sum")
    tap.equal(len(client.uidl()[1]), 3, "UIDL's lines")
    lines = client.retr(2)[1]
    tap.contains(lines, b"This is message 2.")
    tap.equal(client.top(2, 0)[1], lines[:lines.index(b"") + 1], "TOP 2 0")
    client.dele(2)
    tap.equal(client.stat()[0], 2, "messages behind DELE")
    client.rset()
    tap.equal(client.stat()[0], 3, "messages behind RSET")
    client.dele(1)
    client.noop()
    tap.contains(client.quit().decode(), "+OK")
    tap.equal(len(maildir.names()), 2, "files")


def poplib_says_utf8():
    with pop3_server("utf8", utf8="refuse") as server:
        box(server=server).deliver("Subject: Gr\u00fc\u00dfe\n\nbody\n")
        check_utf8(server)


def check_utf8(server):
    client = poplib.POP3(net.address(), server.ports["pop3"], timeout=20)
    tap.contains(client.capa(), "UTF8")
    tap.contains(client.utf8().decode(), "+OK")
    client.user("alice")
    client.pass_("alice-password")
    tap.equal(client.retr(1)[1][0].decode(), "Subject: Gr\u00fc\u00dfe",
              "the subject")
    client.quit()
    with login(server=server) as client:
        client.err("RETR 1", "-ERR [UTF8] ")
        client.ok("STAT")


def fetchmail_reads_by_pop3():
    maildir = box().fill(2)
    client = Fetchmail(os.path.join(scratch.name, "client"),
                       kpopd.ports["pop3"], "pop3", "alice", "password",
                       "alice-password")
    tap.equal(client.run(), 0, client.output)
    tap.equal(len(client.got()), 2, "messages")
    tap.equal(maildir.names(), [], "files")


def uidl_is_stable_across_sessions_and_restarts():
    with pop3_server("restarted") as server:
        maildir = Maildir(server, "alice").fill(3)
        with login(server=server) as client:
            first = client.multi("UIDL")
            client.ok("QUIT")
        maildir.rename(maildir.names()[1], "cur", ":2,S")
        with login(server=server) as client:
            tap.equal(client.multi("UIDL"), first, "UIDL of a seen message")
            client.ok("QUIT")
        server.stop()
        server.start()
        with login(server=server) as client:
            tap.equal(client.multi("UIDL"), first, "UIDL behind a restart")
            maildir.rename(maildir.names()[0], "cur", ":2,FRS")
            tap.equal(client.multi("UIDL"), first, "UIDL in the session")
            tap.contains(retrieve(client, 1).decode(), "message 1.")


def uidl_is_never_reused():
    maildir = box().fill(2)
    with login() as client:
        old = set(numbers(client.multi("UIDL")).values())
        client.ok("DELE 1")
        client.ok("DELE 2")
        client.ok("QUIT")
    maildir.fill(2)
    with login() as client:
        new = set(numbers(client.multi("UIDL")).values())
    tap.equal(len(new), 2, "ids")
    tap.equal(old & new, set(), "ids used again")


def identical_copies_have_different_uidls():
    maildir = box()
    for _ in range(2):
        maildir.deliver("Subject: same\n\nsame\n")
    # A broken copy of one file, flags apart, under the very same name.
    maildir.copy(maildir.names()[0], "cur", ":2,S")
    with login() as client:
        uidls = numbers(client.multi("UIDL"))
        tap.equal(len(set(uidls.values())), 3, f"different ids of {uidls}")


def one_client_a_maildrop():
    box().fill(1)
    with login() as first, Pop3(kpopd) as second:
        second.ok("USER alice")
        second.err("PASS alice-password", "-ERR [IN-USE]")
        first.ok("QUIT")
        first.rest()
        second.ok("USER alice")
        second.ok("PASS alice-password")
    tap.await_(lambda: try_login("alice"), "free again behind a hang-up")


def try_login(user):
    with Pop3(kpopd) as client:
        client.ok(f"USER {user}")
        return client.command(f"PASS {user}-password").startswith("+OK")


def wrong_password_and_unknown_user_look_the_same():
    heard = []
    for user, password in (("alice", "wrong"), ("mallory", "wrong"),
                           ("mallory", "alice-password"),
                           ("../alice", "alice-password")):
        with Pop3(kpopd) as client:
            client.ok(f"USER {user}")
            heard.append(client.err(f"PASS {password}", "-ERR [AUTH]"))
    tap.equal(len(set(heard)), 1, f"one text of {heard}")


def password_never_reaches_the_log():
    mark = kpopd.mark()
    with Pop3(kpopd) as client:
        client.ok("USER alice")
        client.err("PASS hunter2-secret")
        client.ok("USER alice")
        client.ok("PASS alice-password")
        client.ok("QUIT")
        client.rest()
    kpopd.await_log("auth.ok", mark)
    tap.lacks(kpopd.log(mark), "hunter2")
    tap.lacks(kpopd.log(mark), "alice-password")


def three_failures_close():
    with Pop3(kpopd) as client:
        for _ in range(3):
            client.ok("USER alice")
            client.err("PASS wrong", "-ERR [AUTH]")
        tap.equal(client.rest(), b"", "octets behind the third failure")


def plaintext_tls_lets_nobody_in_without_tls():
    with pop3_server("secret", plaintext="tls") as server:
        Maildir(server, "alice").fill(1)
        with Pop3(server) as client:
            tap.lacks(client.multi("CAPA"), "USER")
            client.command("USER alice")
            client.err("PASS alice-password")


def quit_deletes_before_it_says_so():
    maildir = box().fill(3)
    with login() as client:
        client.ok("DELE 1")
        client.ok("DELE 3")
        tap.equal(len(maildir.names()), 3, "files before QUIT")
        client.ok("QUIT")
        tap.equal(len(maildir.names()), 1, "files once QUIT was answered")


def hang_up_without_quit_deletes_nothing():
    maildir = box().fill(2)
    mark = kpopd.mark()
    with login() as client:
        client.ok("DELE 1")
        client.ok("DELE 2")
    kpopd.await_log("event=session.end", mark)
    tap.equal(len(maildir.names()), 2, "files")


def empty_maildrop():
    box()
    with login() as client:
        tap.equal(client.ok("STAT").split()[1:3], ["0", "0"], "STAT")
        tap.equal(client.multi("LIST"), [], "LIST")
        tap.equal(client.multi("UIDL"), [], "UIDL")
        client.err("RETR 1")
        client.err("DELE 1")
        client.ok("QUIT")


def missing_maildir_is_the_admins_business():
    mark = kpopd.mark()
    with Pop3(kpopd) as client:
        client.ok("USER nobox")
        client.err("PASS nobox-password", "-ERR [SYS/PERM]")
    kpopd.await_log(r"event=store\.fail .*/nobox", mark)
    tap.true(not os.path.exists(os.path.join(kpopd.mail, "nobox")),
             "kpopd makes no maildir")


def delivery_is_seen_in_the_next_session():
    maildir = box().fill(1)
    with login() as client:
        tap.equal(len(client.multi("UIDL")), 1, "messages")
        maildir.deliver("Subject: late\n\nlate\n")
        tap.equal(len(client.multi("UIDL")), 1, "messages in the session")
        tap.equal(client.ok("STAT").split()[1], "1", "STAT")
        client.err("RETR 2")
        client.ok("DELE 1")
        client.ok("QUIT")
    with login() as client:
        tap.equal(client.ok("STAT").split()[1], "1", "STAT")
        tap.contains(retrieve(client, 1).decode(), "late")


def message_taken_away_in_the_session_is_gone():
    maildir = box().fill(2)
    with login() as client:
        maildir.remove(maildir.names()[0])
        client.err("RETR 1")
        tap.contains(retrieve(client, 2).decode(), "message 2.")
        client.ok("QUIT")


def nasty_messages_have_the_sizes_that_are_listed():
    maildir = box()
    for stored in NASTY.values():
        maildir.deliver(stored)
    with login() as client:
        sizes = numbers(client.multi("LIST"))
        tap.equal(len(sizes), len(NASTY), "messages")
        for msgno, (name, stored) in enumerate(NASTY.items(), 1):
            got = retrieve(client, msgno)
            want = wire_form(stored)
            tap.true(got == want, f"{name}: got {got[:80]!r} .. {got[-80:]!r}"
                     f" want {want[:80]!r} .. {want[-80:]!r}")
            tap.equal(int(sizes[msgno]), len(got), f"{name}: LIST")
            tap.equal(client.ok(f"LIST {msgno}").split()[2], sizes[msgno],
                      f"{name}: LIST {msgno}")
        tap.equal(int(client.ok("STAT").split()[2]),
                  sum(map(int, sizes.values())), "STAT's octets")


def sizes_told_by_names_are_checked():
    maildir = box()
    text = b"S: x\n\nbody\n"
    wire = len(wire_form(text))
    for suffix in (f",S={len(text)},W={wire}", f",S={len(text)},W=5",
                   f",S=3,W={wire}", ",W=99", ",S=,W=", ""):
        maildir.deliver(text, "cur", suffix + ":2,S")
    with login() as client:
        for msgno, size in numbers(client.multi("LIST")).items():
            tap.equal(int(size), len(retrieve(client, msgno)),
                      f"LIST of {maildir.names()[msgno - 1]}")


def odd_entries_are_harmless():
    maildir = box().fill(2)
    outside = os.path.join(scratch.name, "outside")
    with open(outside, "w", encoding="ascii") as file:
        file.write("Subject: secret\n\nsecret\n")
    cur = os.path.join(maildir.path, "cur")
    os.symlink(outside, os.path.join(cur, "1000000000.M1P1.link:2,S"))
    os.mkfifo(os.path.join(cur, "1000000000.M1P2.fifo:2,S"))
    os.mkdir(os.path.join(cur, "1000000000.M1P3.folder:2,S"))
    mark = kpopd.mark()
    with login() as client:
        tap.equal(client.ok("STAT").split()[1], "2", "messages")
        tap.contains(retrieve(client, 1).decode(), "message 1.")
        client.ok("DELE 1")
        client.ok("DELE 2")
        client.ok("QUIT")
    tap.equal(len(maildir.names()), 3, "odd entries are left")
    for name in ("link", "fifo", "folder"):
        kpopd.await_log(r"event=store\.skip .*" + name, mark)


def message_that_cannot_be_read_is_refused_alone():
    maildir = box().fill(1)
    text = "Subject: hidden\n\nhidden\n"
    path = maildir.deliver(text, "cur", f",S={len(text)}"
                           f",W={len(wire_form(text.encode()))}:2,")
    os.chmod(path, 0)
    with login() as client:
        tap.equal(client.ok("STAT").split()[1], "2", "messages")
        client.err("RETR 2", "-ERR [SYS/PERM]")
        tap.contains(retrieve(client, 1).decode(), "message 1.")
        client.ok("QUIT")


def message_that_turns_into_something_odd_is_refused():
    maildir = box().fill(3)
    outside = os.path.join(scratch.name, "elsewhere")
    with open(outside, "w", encoding="ascii") as file:
        file.write("Subject: secret\n\nsecret\n")
    first, second, _ = (os.path.join(maildir.path, "new", name)
                        for name in maildir.names())
    with login() as client:
        os.unlink(first)
        os.symlink(outside, first)
        os.unlink(second)
        os.mkfifo(second)
        client.err("RETR 1")
        client.err("RETR 2")
        tap.contains(retrieve(client, 3).decode(), "message 3.")


def maildir_behind_a_symlink_is_refused():
    real = Maildir(kpopd, "real").fill(1)
    box("bob").destroy()
    os.symlink(real.path, os.path.join(kpopd.mail, "bob"))
    mark = kpopd.mark()
    try:
        with Pop3(kpopd) as client:
            client.ok("USER bob")
            client.err("PASS bob-password", "-ERR [SYS/PERM]")
        kpopd.await_log(r"event=store\.fail .*/bob.*symbolic link", mark)
    finally:
        os.unlink(os.path.join(kpopd.mail, "bob"))


def mbox_in_place_of_a_maildir_is_named_to_the_admin():
    box("bob").destroy()
    path = os.path.join(kpopd.mail, "bob")
    with open(path, "w", encoding="ascii") as file:
        file.write("From alice Mon Nov 23 05:00:00 2026\n\nx\n")
    mark = kpopd.mark()
    try:
        with Pop3(kpopd) as client:
            client.ok("USER bob")
            client.err("PASS bob-password", "-ERR [SYS/PERM]")
        kpopd.await_log(r"event=store\.fail .*/bob.*convert.*dovecot-kpop",
                        mark)
    finally:
        os.unlink(path)


def hundred_pipelined_retr_and_a_reader_that_waits():
    """The other users go on; later all octets are there, in order."""
    maildir = box()
    body = b"S: x\n\n" + b"0123456789abcdef\n" * 20000
    maildir.deliver(body)
    one = len(wire_form(body))
    box("bob").fill(1)
    with login() as client, login("bob") as other:
        client.send(b"RETR 1\r\n" * 100 + b"QUIT\r\n")
        for _ in range(20):
            tap.contains(retrieve(other, 1).decode(), "message 1.")
        heard = client.rest()
    tap.equal(heard.count(b"\r\n.\r\n"), 100, "ends of messages")
    tap.true(len(heard) > 100 * one, f"{len(heard)} octets")
    tap.true(heard.splitlines()[-1].startswith(b"+OK"), "QUIT's answer")


if __name__ == "__main__":
    tap.main(globals(), before, after)
