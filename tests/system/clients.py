#!/usr/bin/env python3
# clients.py - the table of clients and ways to log in, with TLS and without:
# every cell is a program of Debian that fetches a message from kpopd.  The text must arrive to the octet,
# and the server's log must name the mechanism, because some clients fall back
# to another one without a word.  The table goes to BUILD/clients.md.
# TIME-LIMIT: 420
#
# SPDX-License-Identifier: MIT
import os
import re
import shutil
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness import programs, tls  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.realm import Realm  # noqa: E402
from harness.server import Kpopd, passwords, secrets  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-clients-")
realm = None
authority = None
results = {}

CLIENTS = {
    "fetchmail": (programs.Fetchmail,
                  "USER APOP CRAM-MD5 GSSAPI GSSAPI+none KPOP USER/STLS "
                  "USER/POP3S GSSAPI/STLS KPOP/STLS"),
    "curl": (programs.Curl,
             "USER PLAIN PLAIN+IR APOP CRAM-MD5 GSSAPI GSSAPI+none "
             "USER/STLS USER/POP3S GSSAPI/STLS"),
    "mpop": (programs.Mpop,
             "USER PLAIN APOP CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 GSSAPI "
             "GSSAPI+none USER/STLS USER/POP3S GSSAPI/STLS"),
    "mutt": (programs.Mutt,
             "USER PLAIN APOP CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 GSSAPI "
             "GSSAPI+none USER/STLS USER/POP3S GSSAPI/STLS"),
    "nmh inc": (programs.Inc,
                "USER PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512 "
                "GSSAPI GSSAPI+256 USER/STLS USER/POP3S GSSAPI/STLS"),
    "pop3test": (programs.Pop3test,
                 "USER PLAIN APOP CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 "
                 "SCRAM-SHA-512 GSSAPI GSSAPI+1 GSSAPI+256 USER/STLS "
                 "USER/POP3S GSSAPI/STLS"),
    # Its GSSAPI sends an AUTH line of more octets than RFC 5034 allows.
    "Net::POP3": (programs.NetPop3, "USER PLAIN APOP CRAM-MD5 USER/STLS "
                  "USER/POP3S"),
    "poplib": (programs.Poplib, "USER APOP USER/STLS USER/POP3S"),
    "getmail": (programs.Getmail, "USER APOP USER/POP3S"),
    "libcamel": (programs.Camel, "USER PLAIN CRAM-MD5 GSSAPI USER/STLS "
                 "USER/POP3S GSSAPI/STLS"),
}

# +IR has an initial response; the others are for a server with layers: none
# is taken, one of integrity, one of 256 bits.  Behind / is how TLS begins.
COLUMNS = ("USER APOP PLAIN PLAIN+IR CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 "
           "SCRAM-SHA-512 GSSAPI GSSAPI+none GSSAPI+1 GSSAPI+256 KPOP "
           "USER/STLS USER/POP3S GSSAPI/STLS KPOP/STLS").split()
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
    global realm, authority
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    authority = tls.Authority(os.path.join(scratch.name, "ca"))
    # Some clients look at addresses in the common name alone.
    authority.sign("server", net.host(), "IP:127.0.0.1",
                   subject=f"/CN={net.host()}")


@tap.helper
def after():
    if realm:
        realm.stop()
    scratch.cleanup()
    if results and not os.environ.get("KPOP_TEST"):
        write_table(os.path.join(net.BUILD, "clients.md"))


def server(name, mechanism, security):
    directory = os.path.join(scratch.name, name)
    keys = {"mechanisms": "USER" if mechanism == "USER" else LISTED,
            "plaintext": "always"}
    if mechanism.startswith("GSSAPI+"):
        keys["max_ssf"] = 256
    if mechanism == "KPOP":
        keys["listen_kpop"] = f"{net.address()}:1109"
    if security:
        keys.update(tls="required", plaintext="tls",
                    listen_pop3s=f"{net.address()}:0",
                    tls_certificate=authority.file("server.pem"),
                    tls_key=authority.file("server.key"))
    return Kpopd(directory, realm, listen_pop3=f"{net.address()}:0",
                 workers=1, auth_processes=1,
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


def fetch(client, program, way):
    name = re.sub(r"\W", "_", f"{client}_{way}")
    mechanism, _, security = way.partition("/")
    with server(name, mechanism, security) as kpopd:
        Maildir(kpopd, "alice").deliver(MESSAGE)
        got = program(os.path.join(scratch.name, name + "_home"), kpopd,
                      realm, security, authority.path).fetch(mechanism)
        tap.equal(len(got), 1, "messages")
        same(got[0], MESSAGE)
        judge_log(kpopd.log(), mechanism, security)


def judge_log(log, mechanism, security):
    logins = re.findall(r"event=(auth\.\S+) .*? mechanism=(\S+) .*user=(\S+)",
                        log)
    expected = {"USER": "PLAIN"}.get(mechanism, mechanism.split("+")[0])
    tap.equal(set(logins), {("auth.ok", expected, "alice")},
              "what the log says of the logins")
    tap.equal(set(re.findall(r"event=sasl\.layer .* ssf=(\d+)", log)),
              LAYERS.get(mechanism, set()), "strength of the layer")
    service = {"": set(), "POP3S": {"pop3s"}}.get(
        security, {"kpop" if mechanism == "KPOP" else "pop3"})
    tap.equal(set(re.findall(r"event=tls\.start .* service=(\S+)", log)),
              service, "where TLS began")


def cell(client, program, way):
    """A test."""
    def test():
        results[client, way] = "FAILED"
        try:
            fetch(client, program, way)
        except tap.Skip:
            results[client, way] = "skipped"
            raise
        results[client, way] = "yes"
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
