#!/usr/bin/env python3
# policy.py - what the site promises and keeps: LOGIN-DELAY and EXPIRE.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import os
import re
import tempfile

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.server import WORKER_USER, Kpopd, check, give, \
    passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-policy-")


@tap.helper
def before():
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)


@tap.helper
def after():
    scratch.cleanup()


def server(name, **keys):
    directory = os.path.join(scratch.name, name)
    return Kpopd(directory, listen_kpop="", plaintext="always",
                 listen_pop3=f"{net.address()}:0", workers=2,
                 passwords="file:" + passwords(directory, "alice", "bob"),
                 **keys)


def boxes(kpopd, count=1):
    Maildir(kpopd, "bob").fill(count)
    return Maildir(kpopd, "alice").fill(count)


def try_login(kpopd, user="alice", password=None):
    """What PASS is answered."""
    with Pop3(kpopd) as client:
        client.ok(f"USER {user}")
        answer = client.command(f"PASS {password or user + '-password'}")
        if answer.startswith("+OK"):
            client.ok("QUIT")
        return answer


def age(kpopd, folder, user, seconds):
    """Makes what is remembered so much older."""
    path = os.path.join(kpopd.state, folder, user)
    at = os.stat(path).st_mtime - seconds
    if folder == "expire":
        with open(path, encoding="ascii") as file:
            text = re.sub(r"(?m)^\d+",
                          lambda m: str(int(m.group()) - seconds),
                          file.read())
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    os.utime(path, (at, at))


def login_delay_is_announced_and_survives_a_restart():
    with server("delay", login_delay=1000) as kpopd:
        boxes(kpopd)
        with Pop3(kpopd) as client:
            tap.contains(client.multi("CAPA"), "LOGIN-DELAY 1000", "before login")
            client.login("alice")
            tap.contains(client.multi("CAPA"), "LOGIN-DELAY 1000", "after login")
            client.ok("QUIT")
        tap.contains(try_login(kpopd), "-ERR [LOGIN-DELAY] ")
        tap.contains(try_login(kpopd, "bob"), "+OK", "another user")
        kpopd.stop()
        kpopd.start()
        tap.contains(try_login(kpopd), "-ERR [LOGIN-DELAY] ", "restarted")
        age(kpopd, "logins", "alice", 1000)
        tap.contains(try_login(kpopd), "+OK", "1000 seconds later")
        tap.contains(try_login(kpopd), "-ERR [LOGIN-DELAY] ", "and again")
        tap.lacks(kpopd.log(), "event=auth.fail")


def login_delay_is_not_for_failed_logins():
    with server("failed", login_delay=1000) as kpopd:
        boxes(kpopd)
        tap.contains(try_login(kpopd, password="wrong"), "-ERR [AUTH]")
        tap.contains(try_login(kpopd), "+OK")
        tap.contains(try_login(kpopd, password="wrong"), "-ERR [AUTH]",
                     "a wrong password is told first")


def locked_maildrop_begins_no_delay():
    with server("locked", login_delay=1000) as kpopd:
        boxes(kpopd)
        with Pop3(kpopd).login("alice"):
            age(kpopd, "logins", "alice", 1000)
            tap.contains(try_login(kpopd), "-ERR [IN-USE]")
        tap.await_(lambda: "+OK" in try_login(kpopd), "the lock is gone")


def nothing_is_announced_by_default():
    with server("default") as kpopd:
        boxes(kpopd)
        with Pop3(kpopd) as client:
            tags = client.multi("CAPA")
        tap.contains(tags, "EXPIRE NEVER")
        tap.equal([t for t in tags if "DELAY" in t], [], "LOGIN-DELAY")
        tap.contains(try_login(kpopd), "+OK")
        tap.contains(try_login(kpopd), "+OK")
        tap.lacks(os.listdir(kpopd.state), "logins")


def retrieved_message_expires_and_the_others_stay():
    with server("expire", expire=30) as kpopd:
        maildir = boxes(kpopd, 3)
        with Pop3(kpopd) as client:
            tap.contains(client.multi("CAPA"), "EXPIRE 30", "before login")
            client.login("alice")
            tap.contains(client.multi("CAPA"), "EXPIRE 30", "after login")
            client.ok("RETR 2")
            client.until(b"\r\n.\r\n")
            client.ok("QUIT")
        age(kpopd, "expire", "alice", 30 * 86400 - 100)
        with Pop3(kpopd).login("alice") as client:
            tap.contains(client.ok("STAT"), "+OK 3 ", "a day too early")
            client.ok("RETR 2")
            client.until(b"\r\n.\r\n")
            client.ok("QUIT")
        age(kpopd, "expire", "alice", 100)
        kpopd.stop()
        kpopd.start()
        names = maildir.names()
        with Pop3(kpopd).login("alice") as client:
            tap.contains(client.ok("STAT"), "+OK 2 ", "30 days later")
        tap.equal(maildir.names(), [names[0], names[2]], "files")
        kpopd.await_log("event=store.expired .*user=alice messages=1")


def hangup_after_retr_is_no_retrieval():
    with server("hangup", expire=1) as kpopd:
        boxes(kpopd)
        with Pop3(kpopd).login("alice") as client:
            client.ok("RETR 1")
            client.until(b"\r\n.\r\n")
        tap.await_(lambda: "+OK" in try_login(kpopd), "the lock is gone")
        tap.lacks(os.listdir(os.path.join(kpopd.state, "expire")), "alice")


def expire_0_removes_at_quit_what_was_retrieved():
    with server("zero", expire=0) as kpopd:
        maildir = boxes(kpopd, 2)
        with Pop3(kpopd).login("alice") as client:
            tap.contains(client.multi("CAPA"), "EXPIRE 0")
            client.ok("RETR 1")
            client.until(b"\r\n.\r\n")
            client.ok("TOP 2 1")
            client.until(b"\r\n.\r\n")
            tap.equal(len(maildir.names()), 2, "files before QUIT")
            client.ok("QUIT")
        tap.equal(len(maildir.names()), 1, "files after QUIT")


def maildrop_that_cannot_be_written_is_still_read():
    with server("readonly", expire=1) as kpopd:
        maildir = boxes(kpopd, 1)
        with Pop3(kpopd).login("alice") as client:
            client.ok("RETR 1")
            client.until(b"\r\n.\r\n")
            client.ok("QUIT")
        age(kpopd, "expire", "alice", 86400)
        if os.getuid() == 0:
            os.chown(os.path.join(maildir.path, "new"), 0, 0)
        os.chmod(os.path.join(maildir.path, "new"), 0o555)
        with Pop3(kpopd).login("alice") as client:
            tap.contains(client.ok("STAT"), "+OK 1 ")
        kpopd.await_log("event=store.fail .*call=unlink")
        os.chmod(os.path.join(maildir.path, "new"), 0o700)
        give(maildir.path, WORKER_USER)


def retr_sets_flags_only_where_a_site_wants_it():
    for name, keys, want in (("unseen", {}, [":2,"]),
                             ("seen", {"retr_sets_seen": "yes"},
                              [":2,", ":2,S"])):
        with server(name, **keys) as kpopd:
            maildir = Maildir(kpopd, "alice")
            for _ in range(3):
                maildir.deliver("A: b\n\nbody\n", "cur", ":2,")
            with Pop3(kpopd).login("alice") as client:
                ids = client.multi("UIDL")
                client.ok("RETR 2")
                client.until(b"\r\n.\r\n")
                client.ok("DELE 3")
                client.ok("QUIT")
            tap.equal(sorted({n.partition(":")[1] + n.partition(":")[2]
                              for n in maildir.names()}), want, "flags")
            with Pop3(kpopd).login("alice") as client:
                tap.equal(client.multi("UIDL"), ids[:2], "UIDL")


def wrong_values_are_told():
    kpopd = server("wrong", start=False)
    for key, value in (("expire", "soon"), ("expire", "-1"),
                       ("expire", "100000"), ("login_delay", "1h")):
        kpopd.configure(**{"expire": None, "login_delay": None, key: value})
        status, output = check(kpopd.path)
        tap.equal(status, 1, f"status for {key} = {value}")
        tap.contains(output, f"{key}: ")


if __name__ == "__main__":
    tap.main(globals(), before, after)
