#!/usr/bin/env python3
# faults.py - a blocked or failing disk, a held replay cache, clients that do
# not read: each stops its own session at most, and no mail is lost.
# TIME-LIMIT: 300
#
# SPDX-License-Identifier: MIT
import fcntl
import os
import subprocess
import tempfile
import time

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import AUTH_USER, Kpopd, give, memory  # noqa: E402
from harness.wire import Kpop, Pop3, frame  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-faults-")
realm = None
kpopd = None
SLOW_USERS = [f"slow{i}" for i in range(8)]


def password_file(path, users):
    with open(path, "w", encoding="ascii") as file:
        for user in users:
            digest = subprocess.run(
                ["openssl", "passwd", "-6", "-stdin"], text=True, check=True,
                input=f"{user}-password\n", stdout=subprocess.PIPE).stdout
            file.write(f"{user}:{digest.strip()}\n")
    os.chmod(path, 0o600)
    give(path, AUTH_USER)


@tap.helper
def before():
    global realm, kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    passwords = os.path.join(scratch.name, "passwords")
    password_file(passwords, ["alice", "slow", *SLOW_USERS])
    kpopd = Kpopd(
        os.path.join(scratch.name, "kpopd"), realm, workers=1,
        listen_pop3=f"{net.address()}:0", plaintext="always",
        passwords=f"file:{passwords}", auth_timeout=2 * tap.SLOW,
        env={"LD_PRELOAD": preload(), "KPOP_TEST_MATCH": "/mail/slow",
             "KPOP_TEST_CONTROL": control()})


@tap.helper
def after():
    faults()
    if kpopd:
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


@tap.helper
def preload():
    library = os.path.join(net.BUILD, "tests/lib/preload_store.so")
    checker = os.environ.get("KPOP_CHECKER")
    if checker in ("asan", "tsan"):
        # The sanitizer insists on being the first library.
        first = subprocess.run(
            [os.environ.get("CC", "gcc"), f"-print-file-name=lib{checker}.so"],
            text=True, check=True, stdout=subprocess.PIPE).stdout.strip()
        return f"{first} {library}"
    return library


@tap.helper
def control():
    return os.path.join(scratch.name, "control")


def faults(*lines):
    """Switches the disk's faults; none of them: a healthy disk."""
    new = control() + ".new"
    with open(new, "w", encoding="ascii") as file:
        file.writelines(line + "\n" for line in lines)
    os.chmod(new, 0o644)
    os.rename(new, control())


class Hold:
    """While it stands, the disk of the slow users answers nothing."""

    def __enter__(self):
        self.path = os.path.join(scratch.name, "hold")
        with open(self.path, "w", encoding="ascii"):
            pass
        faults(f"hold {self.path}")
        return self

    def release(self):
        if os.path.exists(self.path):
            os.unlink(self.path)

    def __exit__(self, *_):
        self.release()
        faults()


def box(user):
    maildir = Maildir(kpopd, user)
    for folder in ("new", "cur"):
        for name in os.listdir(os.path.join(maildir.path, folder)):
            os.unlink(os.path.join(maildir.path, folder, name))
    return maildir


def blocked_disk_stops_only_its_own_sessions():
    box("alice").fill(2)
    for user in SLOW_USERS:
        box(user).fill(2)
    others = Pop3(kpopd).login("alice")
    slow = [Pop3(kpopd).login(user) for user in SLOW_USERS]
    with Hold() as hold:
        for client in slow:
            client.send(b"RETR 1\r\n")
        began = time.monotonic()
        for _ in range(20):
            others.ok("NOOP")
            tap.contains("\n".join(others.multi("RETR 2")), "message 2")
        others.ok("QUIT")
        with Pop3(kpopd) as newcomer:
            newcomer.login("alice").ok("STAT")
        tap.true(time.monotonic() - began < 5 * tap.SLOW, "alice waited")
        for client in slow:
            tap.equal(client.buffer, b"", "an answer from a blocked disk")
        hold.release()
        for client in slow:
            tap.true(client.line().startswith("+OK"), "RETR after it")
            tap.contains("\n".join(client.lines()), "message 1")
            client.ok("QUIT")
            client.close()
    others.close()


def hang_up_at_a_blocked_disk_frees_the_lock():
    box("slow").fill(2)
    with Hold() as hold:
        client = Pop3(kpopd)
        client.ok("USER slow")
        client.send(b"PASS slow-password\r\n")
        client.close()
        hold.release()

    def login():
        with Pop3(kpopd) as again:
            again.ok("USER slow")
            return again.command("PASS slow-password").startswith("+OK")
    tap.await_(login, "the maildrop is free again")


def read_error_drops_the_connection_without_final_dot():
    maildir = box("slow")
    maildir.deliver("Subject: long\n\n" + "a line of text\n" * 20000)
    faults("read-error 100000")
    with Pop3(kpopd) as client:
        client.login("slow")
        client.send(b"RETR 1\r\n")
        tap.true(client.line().startswith("+OK"), "RETR began")
        heard = client.rest()
    faults()
    tap.true(len(heard) > 50000, f"{len(heard)} octets came")
    tap.true(not heard.endswith(b".\r\n"), "no final dot")
    tap.equal(len(maildir.names()), 1, "messages in the maildir")
    kpopd.await_log(r"event=store\.fail level=error .*slow")


def message_that_shrinks_drops_the_connection_without_final_dot():
    maildir = box("slow")
    path = maildir.deliver("Subject: long\n\n" + "a line of text\n" * 2000000)
    with Pop3(kpopd) as client:
        client.login("slow")
        client.send(b"RETR 1\r\n")
        tap.true(client.line().startswith("+OK"), "RETR began")
        os.truncate(path, 20000000)  # the socket holds less than that
        heard = client.rest()
    tap.true(len(heard) < 30000000, f"{len(heard)} octets came")
    tap.true(not heard.endswith(b".\r\n"), "no final dot")
    tap.equal(len(maildir.names()), 1, "messages in the maildir")
    kpopd.await_log(r"event=store\.fail level=error .*became shorter")


def maildir_without_the_right_to_delete_is_warned_of():
    maildir = box("slow").fill(1)
    new = os.path.join(maildir.path, "new")
    os.chmod(new, 0o500)
    mark = kpopd.mark()
    try:
        with Pop3(kpopd) as client:
            client.login("slow")
            kpopd.await_log(r"event=store\.readonly level=warning .*slow",
                            mark)
            client.ok("DELE 1")
            tap.contains(client.command("QUIT"), "not removed")
    finally:
        os.chmod(new, 0o700)
    tap.equal(len(maildir.names()), 1, "messages in the maildir")


def read_error_at_once_is_an_err():
    box("slow").fill(1)
    with Pop3(kpopd) as client:
        client.login("slow")
        faults("read-error 0")
        client.err("RETR 1", "-ERR [SYS/")
        faults()
        tap.contains("\n".join(client.multi("RETR 1")), "message 1")
        client.ok("QUIT")


def full_or_read_only_disk_at_quit_says_so_and_keeps_the_rest():
    for error, fault in (("unlink", "EROFS"), ("unlink", "EACCES"),
                         ("fsync", "EIO"), ("fsync", "ENOSPC")):
        maildir = box("slow").fill(3)
        mark = kpopd.mark()
        with Pop3(kpopd) as client:
            client.login("slow")
            client.ok("DELE 1")
            faults(f"{error} {fault}")
            answer = client.command("QUIT")
            tap.contains(answer, "-ERR [SYS/", f"QUIT at {error} {fault}")
            tap.contains(answer, "not removed", "the text")
            tap.equal(client.rest(), b"", "closed behind it")
        faults()
        tap.true(len(maildir.names()) >= 2, "what was not deleted is kept")
        kpopd.await_log(r"event=store\.fail level=error .*slow", mark)
        with Pop3(kpopd) as client:
            client.login("slow").ok("QUIT")


def held_replay_cache_lock_stops_kerberos_logins_only():
    box("alice").fill(2)
    ccache = realm.ccache("alice")
    logged_in = Pop3(kpopd).login("alice")
    cache = os.path.join(kpopd.state, "replay")
    with ApReq(realm, ccache=ccache) as request, Kpop(kpopd) as client:
        client.handshake(request.octets)  # the file is there now
    with open(cache, "rb+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        mark = kpopd.mark()
        refused = []
        for _ in range(6):
            request = ApReq(realm, ccache=ccache)
            client = Kpop(kpopd, seconds=30).versions()
            client.send(frame(request.octets))
            refused.append((request, client))
        for _ in range(3):
            tap.contains("\n".join(logged_in.multi("RETR 1")), "message 1")
            with Pop3(kpopd) as client:
                client.login("slow").ok("QUIT")
        for request, client in refused:
            code, text = request.error(client.framed())
            tap.equal(code, 60, "code of an overdue login")
            tap.contains(text, "[SYS/TEMP]", "text of an overdue login")
            tap.equal(client.rest(), b"", "closed behind it")
            client.close()
            request.close()
        kpopd.await_log(r"event=process\.hung", mark)
        logged_in.ok("NOOP")
        fcntl.lockf(file, fcntl.LOCK_UN)
    logged_in.ok("QUIT")
    logged_in.close()

    def login():
        with ApReq(realm, ccache=ccache) as request, Kpop(kpopd) as client:
            client.versions()
            client.send(frame(request.octets))
            if client.read(4) != b"\0\0\0\0":
                return False
            client.line()
            return client.login("alice").startswith("+OK")
    tap.await_(login, "Kerberos logins recover", 30)


def client_that_does_not_read_holds_bounded_memory():
    maildir = box("alice")
    maildir.deliver("Subject: big\n\n" + "0123456789abcdef" * 4 + "\n")
    maildir.deliver("Subject: big\n\n" + ("x" * 70 + "\n") * 60000)
    worker = kpopd.children("worker")[0]
    with Pop3(kpopd) as client:
        client.login("alice")
        start = memory(worker, "Rss")
        client.send(b"RETR 2\r\n" * 100)
        # It stops producing, then reading; others are served meanwhile.
        for _ in range(10):
            with Pop3(kpopd) as other:
                other.login("slow").ok("QUIT")
        grown = memory(worker, "Rss") - start
        tap.show(f"100 RETR of 4 MB unread: the worker grew by {grown} "
                 "octets")
        if tap.PLAIN:
            tap.true(grown < 1 << 20, f"grew by {grown}")
        # And then it reads everything: nothing is mixed up or lost.
        rounds = 100 if tap.PLAIN else 3
        for _ in range(rounds):
            tap.true(client.line().startswith("+OK"), "RETR")
            size = 0
            while True:
                line = client.line()
                if line == ".":
                    break
                size += len(line) + 2
            tap.equal(size, 14 + 2 + 60000 * 72, "octets of the message")


if __name__ == "__main__":
    tap.main(globals(), before, after)
