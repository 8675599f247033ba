#!/usr/bin/env python3
# clients.py - the table of clients and mechanisms: every cell is a program of
# Debian that fetches a message from kpopd.  The text must arrive to the octet,
# and the server's log must name the mechanism, because some clients fall back
# to another one without a word.  The table goes to BUILD/clients.md.
# TIME-LIMIT: 300
#
# SPDX-License-Identifier: MIT
import os
import re
import shutil
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness import programs  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.realm import Realm  # noqa: E402
from harness.server import Kpopd, passwords, secrets  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-clients-")
realm = None
results = {}

CLIENTS = {
    "fetchmail": (programs.Fetchmail,
                  "USER APOP CRAM-MD5 GSSAPI GSSAPI+none KPOP"),
    "curl": (programs.Curl,
             "USER PLAIN PLAIN+IR APOP CRAM-MD5 GSSAPI GSSAPI+none"),
    "mpop": (programs.Mpop,
             "USER PLAIN APOP CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 GSSAPI "
             "GSSAPI+none"),
    "mutt": (programs.Mutt,
             "USER PLAIN APOP CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 GSSAPI "
             "GSSAPI+none"),
    "nmh inc": (programs.Inc,
                "USER PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512 "
                "GSSAPI GSSAPI+256"),
    "pop3test": (programs.Pop3test,
                 "USER PLAIN APOP CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 "
                 "SCRAM-SHA-512 GSSAPI GSSAPI+1 GSSAPI+256"),
    # Its GSSAPI sends an AUTH line of more octets than RFC 5034 allows.
    "Net::POP3": (programs.NetPop3, "USER PLAIN APOP CRAM-MD5"),
    "poplib": (programs.Poplib, "USER APOP"),
    "getmail": (programs.Getmail, "USER APOP"),
}

# +IR has an initial response; the others are for a server with layers: none
# is taken, one of integrity, one of 256 bits.
COLUMNS = ("USER APOP PLAIN PLAIN+IR CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 "
           "SCRAM-SHA-512 GSSAPI GSSAPI+none GSSAPI+1 GSSAPI+256 KPOP").split()
LAYERS = {"GSSAPI+256": {"256"}, "GSSAPI+1": {"1"}}

# USER travels as PLAIN, in the log too, so it has a server of its own.
LISTED = "GSSAPI PLAIN CRAM-MD5 APOP SCRAM-SHA-256 SCRAM-SHA-512 SCRAM-SHA-1"

MESSAGE = b"""From: Bob <bob@example.org>
To: alice@example.org
Subject: exact text
Date: Mon, 23 Nov 2026 08:00:00 +0000
Message-ID: <1@example.org>

.
..
.one dot
 two blanks at the end and a tab in front\x20\x20
\tlike this


""" + b"x" * 900 + b"""
8-bit: \xc3\xa4\xff
the end


"""


@tap.helper
def before():
    global realm
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))


@tap.helper
def after():
    if realm:
        realm.stop()
    scratch.cleanup()
    if results and not os.environ.get("KPOP_TEST"):
        write_table(os.path.join(net.BUILD, "clients.md"))


def server(name, mechanism):
    directory = os.path.join(scratch.name, name)
    keys = {"mechanisms": "USER" if mechanism == "USER" else LISTED}
    if mechanism.startswith("GSSAPI+"):
        keys["max_ssf"] = 256
    if mechanism == "KPOP":
        keys["listen_kpop"] = f"{net.address()}:1109"
    return Kpopd(directory, realm, listen_pop3=f"{net.address()}:0",
                 plaintext="always", workers=1, auth_processes=1,
                 passwords="file:" + passwords(directory, "alice"),
                 secrets="file:" + secrets(directory, "alice"), **keys)


def same(got, sent):
    """Programs may add lines to the head; all else is as it was."""
    head, _, body = got.partition(b"\n\n")
    sent_head, _, sent_body = sent.partition(b"\n\n")
    tap.equal(body, sent_body, "the body")
    added = b"Content-Length|Lines|Status|Received|Return-Path|X-UIDL"
    head = re.sub(rb"(?m)^(" + added + rb"):.*\n([ \t].*\n)*", b"",
                  head + b"\n")
    tap.equal(head, sent_head + b"\n", "the head")


def fetch(client, program, mechanism):
    name = re.sub(r"\W", "_", f"{client}_{mechanism}")
    with server(name, mechanism) as kpopd:
        Maildir(kpopd, "alice").deliver(MESSAGE)
        got = program(os.path.join(scratch.name, name + "_home"), kpopd,
                      realm).fetch(mechanism)
        tap.equal(len(got), 1, "messages")
        same(got[0], MESSAGE)
        logins = re.findall(r"event=(auth\.\S+) .*? mechanism=(\S+) .*"
                            r"user=(\S+)", kpopd.log())
        expected = {"USER": "PLAIN"}.get(mechanism,
                                         mechanism.split("+")[0])
        tap.equal(set(logins), {("auth.ok", expected, "alice")},
                  "what the log says of the logins")
        tap.equal(set(re.findall(r"event=sasl\.layer .* ssf=(\d+)",
                                 kpopd.log())),
                  LAYERS.get(mechanism, set()), "strength of the layer")


def cell(client, program, mechanism):
    """A test."""
    def test():
        results[client, mechanism] = "FAILED"
        try:
            fetch(client, program, mechanism)
        except tap.Skip:
            results[client, mechanism] = "skipped"
            raise
        results[client, mechanism] = "yes"
    return test


def version(program):
    """As dpkg knows it of the program's file."""
    path = program.word and shutil.which(program.word)
    if not path or not shutil.which("dpkg-query"):
        return ""
    package = ask("dpkg-query", "-S", path).split(":")[0]
    return package and " " + ask("dpkg-query", "-W", "-f", "${Version}",
                                 package)


def ask(*words):
    return subprocess.run(words, text=True, check=False,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


def write_table(path):
    if not os.access(net.BUILD, os.W_OK):
        tap.show(f"{net.BUILD} may not be written: no table")
        return
    with open(path, "w", encoding="ascii") as file:
        for row in [["client", *COLUMNS], ["---"] * (len(COLUMNS) + 1)] + [
                [client + version(program)]
                + [results.get((client, way), "") for way in COLUMNS]
                for client, (program, _) in CLIENTS.items()]:
            file.write("| " + " | ".join(row) + " |\n")


if __name__ == "__main__":
    tests = {f"client {client} {way}": cell(client, program, way)
             for client, (program, ways) in CLIENTS.items()
             for way in ways.split()}
    tap.main({"__name__": __name__, **tests}, before, after)
