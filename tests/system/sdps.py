#!/usr/bin/env python3
# sdps.py - SDPS: the mail of a host, delivered to its users by real clients.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import os
import pwd
import re
import shutil
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.server import Kpopd, passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-sdps-")
kpopd = None

HOST = "fred.example.org"
PASSWORD = HOST + "-password"


@tap.helper
def before():
    global kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    directory = os.path.join(scratch.name, "kpopd")
    kpopd = Kpopd(directory, listen_kpop="", plaintext="always", sdps="yes",
                  listen_pop3=f"{net.address()}:0",
                  passwords="file:" + passwords(directory, HOST))


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    scratch.cleanup()


def message(number, recipient, sender="bob@example.net", top=None):
    """As Postfix delivers it; the header that people see names nobody."""
    if top is None:
        top = (f"Return-Path: <{sender}>\nX-Original-To: {recipient}\n"
               "Delivered-To: fred\n")
    return (top + "Received: from there\n\tby here\n"
            "From: list@example.net\nTo: undisclosed\n"
            f"Subject: {number}\n\nThis is message {number}.\n")


def _filled():
    """1, 3 for alice, 2 for bob, 4 for nobody known, 5 forged."""
    box = Maildir(kpopd, HOST).empty()
    for number, recipient in ((1, f"alice@{HOST}"), (2, f"bob@{HOST}"),
                              (3, f"Alice@{HOST}")):
        box.deliver(message(number, recipient, f"from{number}@example.net"))
    box.deliver(message(4, "", top=""))
    box.deliver(message(5, "", top="")
                + f"Delivered-To: alice@{HOST}\n")
    return box


def login(name):
    return Pop3(kpopd).login(name, PASSWORD)


def subjects(client, count):
    found = []
    for number in range(1, count + 1):
        client.ok(f"RETR {number}")
        text = client.until(b"\r\n.\r\n").decode()
        found.append(int(re.search(r"Subject: (\d)", text).group(1)))
    return found


def login_chooses_the_mail_by_recipient():
    for name, want in ((HOST, [1, 2, 3, 4, 5]), (f"alice@{HOST}", [1, 3]),
                       (f"alice+{HOST}", [1, 3]), (f"BOB@{HOST}", [2]),
                       (f"eve@{HOST}", [])):
        _filled()
        with login(name) as client:
            tap.contains(client.multi("CAPA"), "X-SDPS")
            tap.contains(client.ok("STAT"), f"+OK {len(want)} ",
                         f"STAT of {name}")
            tap.equal(subjects(client, len(want)), want, f"mail of {name}")


def wrong_password_of_the_host_opens_nothing():
    with Pop3(kpopd) as client:
        client.ok(f"USER alice@{HOST}")
        client.err("PASS wrong", "-ERR [AUTH]")
        client.ok("USER alice@other.example")
        client.err(f"PASS {PASSWORD}", "-ERR [AUTH]")


def deletion_takes_the_messages_that_were_shown():
    box = _filled()
    names = box.names()
    with login(f"alice@{HOST}") as client:
        client.ok("DELE 2")
        client.ok("QUIT")
    tap.equal(box.names(), [n for n in names if n != names[2]], "files")
    with login(f"bob@{HOST}") as client:
        client.ok("DELE 1")
        client.ok("QUIT")
    tap.equal(box.names(), [names[0], names[3], names[4]], "files")


def two_recipients_share_one_lock():
    _filled()
    with login(f"alice@{HOST}"):
        with Pop3(kpopd) as client:
            client.ok(f"USER bob@{HOST}")
            client.err(f"PASS {PASSWORD}", "-ERR [IN-USE]")


def return_path_is_on_top_and_counted():
    _filled()
    with login(HOST) as client:
        sizes = dict(line.split() for line in client.multi("LIST"))
        for number in range(1, 6):
            client.ok(f"RETR {number}")
            octets = client.until(b"\r\n.\r\n")
            sender = f"from{number}@example.net" if number < 4 else ""
            tap.true(octets.startswith(b"Return-Path: <" + sender.encode()
                                       + b">\r\n"), f"{octets[:60]!r}")
            tap.equal(octets.count(b"Return-Path"), 1, "Return-Path fields")
            tap.equal(len(octets), int(sizes[str(number)]), "octets")
        top = client.multi("TOP 4 0")
        tap.equal(top[0], "Return-Path: <>", "the first line of TOP")
        client.ok("QUIT")


def env_tells_the_envelope():
    _filled()
    with login(f"alice@{HOST}") as client:
        tap.equal(client.multi("*ENV 2"),
                  ["2", HOST, "from3@example.net", f"Alice@{HOST}"],
                  "*ENV 2")
        client.err("*ENV 3")
    with login(HOST) as client:
        tap.equal(client.multi("*ENV 4")[2:], ["", ""], "of nobody known")


def _deliver_script(directory):
    """Writes each message to got.N, sender and recipient above it."""
    path = os.path.join(directory, "deliver")
    with open(path, "w", encoding="ascii") as file:
        file.write('#!/bin/sh\n{ echo "<$1> <$2>"; cat; }'
                   f' >"{directory}/got.$$"\n')
    os.chmod(path, 0o700)
    return path


def _delivered(directory):
    found = []
    for name in os.listdir(directory):
        if name.startswith("got."):
            with open(os.path.join(directory, name), encoding="ascii") as file:
                text = file.read()
            found.append((int(re.search(r"Subject: (\d)", text).group(1)),
                          text.splitlines()[0]))
    return sorted(found)


def fetchmail_delivers_to_the_envelope_recipient():
    if shutil.which("fetchmail") is None:
        raise tap.Skip("fetchmail is not installed")
    box = _filled()
    for name in box.names()[3:]:
        box.remove(name)
    directory = os.path.join(scratch.name, "fetchmail")
    os.makedirs(directory)
    script = _deliver_script(directory)
    me = pwd.getpwuid(os.getuid()).pw_name
    rc = os.path.join(directory, "rc")
    with open(rc, "w", encoding="ascii") as file:
        file.write(f"poll {net.host()} service {kpopd.ports['pop3']} "
                   f"protocol sdps no dns aka {HOST}\n"
                   f"  user {HOST} password {PASSWORD}\n"
                   f"  is alice=mail-of-alice bob=mail-of-bob {me} here\n"
                   "  fetchall sslproto '' no sslcertck\n"
                   f"  mda \"{script} %F %T\"\n")
    os.chmod(rc, 0o600)
    done = subprocess.run(
        ["fetchmail", "-f", rc, "--nodetach", "--nosyslog", "-vv",
         "--pidfile", os.path.join(directory, "pid"), "--timeout", "20"], check=False, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, FETCHMAILHOME=directory, HOME=directory,
                 **net.client_env()), timeout=60 * tap.SLOW)
    tap.equal(done.returncode, 0, done.stdout)
    tap.contains(done.stdout, "*ENV 1")
    tap.equal(_delivered(directory),
              [(1, "<from1@example.net> <mail-of-alice>"),
               (2, "<from2@example.net> <mail-of-bob>"),
               (3, "<from3@example.net> <mail-of-alice>")], "deliveries")
    tap.equal(box.names(), [], "files")


# getmail 6.18's own delivery takes the envelope for text, which it is not in
# Python 3; so its retriever is used, and what it hands to a delivery shown.
GETMAIL = """
import sys
from getmailcore.retrievers import MultidropSDPSRetriever
from getmailcore.logging import Logger
directory, server, port, user, password = sys.argv[1:]
retriever = MultidropSDPSRetriever(
    getmaildir=directory, server=server, port=port, username=user,
    password=password, configparser=None)
retriever.initialize({"verbose": 2, "read_all": True})
for msgid in retriever:
    mail = retriever.getmsg(msgid)
    print("MAIL", mail.sender.decode(), mail.recipient.decode(),
          mail.content()["Subject"])
    retriever.delmsg(msgid)
retriever.quit()
"""


def getmail_hands_the_envelope_to_delivery():
    if shutil.which("getmail") is None:
        raise tap.Skip("getmail is not installed")
    box = _filled()
    for name in box.names()[3:]:
        box.remove(name)
    directory = os.path.join(scratch.name, "getmail")
    os.makedirs(directory)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", GETMAIL, directory, net.host(),
         str(kpopd.ports["pop3"]), HOST, PASSWORD], check=False, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=60 * tap.SLOW,
        env=dict(os.environ, HOME=directory, **net.client_env()))
    tap.equal(done.returncode, 0, done.stdout)
    tap.equal(re.findall(r"MAIL (\S+) (\S+) (\d)", done.stdout),
              [("from1@example.net", f"alice@{HOST}", "1"),
               ("from2@example.net", f"bob@{HOST}", "2"),
               ("from3@example.net", f"Alice@{HOST}", "3")], "deliveries")
    tap.equal(box.names(), [], "files")


if __name__ == "__main__":
    tap.main(globals(), before, after)
