#!/usr/bin/env python3
# login.py - kpopctl login as a client of a real kpopd in a real realm: each
# mechanism, and what it says of each step that fails.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import base64
import json
import os
import pty
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from harness import net, tap

net.enter()

from harness.realm import Realm  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.server import (AUTH_USER, Kpopd, own, passwords,  # noqa: E402
                            secrets)
from harness.tls import Authority  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-login-")
realm = None
authority = None
kpopd = None
counter = 0


@tap.helper
def before():
    global realm, authority, kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    authority = Authority(os.path.join(scratch.name, "ca"))
    kpopd = server()
    Maildir(kpopd, "alice").fill(2)


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


@tap.helper
def server(names=None, **keys):
    global counter
    counter += 1
    directory = os.path.join(scratch.name, f"kpopd{counter}")
    names = names or ["DNS:" + net.host() if net.is_private()
                      else "IP:" + net.address()]
    certificate, key = authority.sign(f"pop{counter}", *names)
    values = {"listen_pop3": f"{net.address()}:0",
              "listen_pop3s": f"{net.address()}:0",
              "tls_certificate": certificate, "tls_key": key,
              "passwords": "file:" + passwords(directory, "alice"),
              "secrets": "file:" + secrets(directory, "alice"),
              "mechanisms": "GSSAPI PLAIN USER CRAM-MD5 APOP SCRAM-SHA-256"}
    values.update(keys)
    return Kpopd(directory, realm, **values)


@tap.helper
def secret(text, mode=0o600):
    handle, path = tempfile.mkstemp(dir=scratch.name)
    os.write(handle, text.encode())
    os.close(handle)
    os.chmod(path, mode)
    return path


@tap.helper
def run(*words, user="alice", **env):
    """(status, stdout, stderr) with the ticket of user, or none."""
    cache = realm.ccache(user) if user else realm.empty_ccache()
    done = subprocess.run(
        [os.path.join(net.BUILD, "kpopctl"), "login", net.host(), *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
        stderr=subprocess.PIPE, text=True, timeout=60 * tap.SLOW,
        env=dict(os.environ, **{**realm.env, "KRB5CCNAME": cache,
                                "SSL_CERT_FILE": authority.path, **env}))
    return done.returncode, done.stdout, done.stderr


@tap.helper
def port(service="pop3", of=None):
    return str((of or kpopd).ports[service])


@tap.helper
def login(mechanism, service, *words, **more):
    """The steps of one login as JSON; the whole went well or not."""
    status, out, err = run("--json", "--mech", mechanism, "--port",
                           port(service, more.pop("of", None)), *words,
                           **more)
    tap.equal((err, out.count("\n")), ("", 1), f"output {out!r}; stderr")
    told = json.loads(out)
    tap.equal((told["host"], len(told["logins"])), (net.host(), 1), told)
    one = told["logins"][0]
    tap.equal((one["mechanism"], one["good"], told["good"]),
              (mechanism, status == 0, status == 0), out)
    for step in one["steps"]:
        tap.equal(step["advice"] is None, step["good"], f"advice of {step}")
    return one


@tap.helper
def works(one, *steps):
    tap.equal((one["good"], [s["step"] for s in one["steps"]]),
              (True, list(steps)), one)


@tap.helper
def fails(one, step, text, advice):
    """At this step, the last one; all before went well."""
    tap.true(not one["good"], one)
    last = one["steps"][-1]
    tap.equal([s["good"] for s in one["steps"]],
              [True] * (len(one["steps"]) - 1) + [False], str(one))
    tap.equal(last["step"], step, str(one))
    tap.contains(last["text"], text)
    tap.contains(last["advice"], advice)


# ---- what works ----


def kpop_logs_in_by_the_ticket():
    one = login("KPOP", "kpop")
    works(one, "connect", "ticket", "kpop", "greeting", "stls", "user",
          "stat")
    tap.contains(one["steps"][1]["text"], "alice@EXAMPLE.ORG has one for "
                 f"pop/{net.host()}@")
    tap.contains(one["steps"][4]["text"], "TLSv1.3")
    tap.contains(one["steps"][-1]["text"], "2 messages")


def gssapi_logs_in_by_the_ticket():
    works(login("GSSAPI", "pop3"), "connect", "greeting", "stls", "gssapi",
          "stat")
    works(login("GSSAPI", "pop3s", "--pop3s"), "connect", "tls", "greeting",
          "gssapi", "stat")


def passwords_log_in_inside_tls():
    file = secret("alice-password\nsecond line\n")
    for mechanism, step in (("PLAIN", "plain"), ("USER", "user")):
        works(login(mechanism, "pop3", "-P", file, "-u", "alice", user=None),
              "connect", "greeting", "stls", step, "stat")
        works(login(mechanism, "pop3s", "--pop3s", "-P", file, "-u", "alice",
                    user=None),
              "connect", "tls", "greeting", step, "stat")


SECRETS = (("SCRAM-SHA-256", "scram"), ("CRAM-MD5", "cram"),
           ("APOP", "apop"))


def secrets_log_in():
    file = secret("alice-password\n")
    for mechanism, step in SECRETS:
        works(login(mechanism, "pop3", "-P", file, "-u", "alice", user=None),
              "connect", "greeting", "stls", step, "stat")


def wrong_secret_is_explained():
    for mechanism, step in SECRETS:
        fails(login(mechanism, "pop3", "-P", secret("wrong\n"), "-u",
                    "alice"), step, "[AUTH]", "the password")


def server_that_does_not_know_the_secret_is_false():
    """It takes whatever comes; its nonce and signature are its own."""
    names = []

    def challenge(heard):
        first = base64.b64decode(heard).decode()
        names.append(first.partition(",r=")[0])
        nonce = first.rpartition("r=")[2]
        return b"+ " + base64.b64encode(
            f"r={nonce}more,s=c2FsdA==,i=4096".encode()) + b"\r\n"

    fails(misled("SCRAM-SHA-256", b"+OK hello\r\n",
                 b"+OK\r\nSASL SCRAM-SHA-256\r\n.\r\n", b"+ \r\n", challenge,
                 b"+ " + base64.b64encode(b"v=" + base64.b64encode(bytes(32)))
                 + b"\r\n", user="a=b,c"), "scram",
          "does not know the secret", "")
    tap.equal(names, ["n,,n=a=3Db=2Cc"], "the name on the wire")


def nothing_is_fetched_or_deleted():
    before = sorted(Maildir(kpopd, "alice").names())
    login("KPOP", "kpop")
    login("GSSAPI", "pop3")
    tap.equal(sorted(Maildir(kpopd, "alice").names()), before, "mail")


def text_tells_each_step():
    status, out, err = run("--mech", "KPOP", "--port", port("kpop"))
    tap.equal((status, err), (0, ""), out)
    lines = out.splitlines()
    tap.equal(len(lines), 7, out)
    for line in lines:
        tap.true(line.startswith("ok: KPOP: "), line)
        tap.show(line)
    status, out, _ = run("--mech", "KPOP", "--port", port("kpop"), user=None)
    tap.equal(status, 1, out)
    tap.contains(out.splitlines()[-1], "failed: KPOP: ticket: ")
    tap.contains(out.splitlines()[-1], "; do: get a ticket: kinit")


def without_mechanism_all_are_tried():
    if not net.is_private() or os.getuid() != 0:
        raise tap.Skip("the ports are not ours")
    with server(listen_kpop="127.0.0.1:1109",
                listen_pop3="127.0.0.1:110") as usual:
        Maildir(usual, "alice").fill(1)
        status, out, _ = run("--json")
        told = json.loads(out)
        tap.equal((status, [(o["mechanism"], o["port"], o["good"])
                            for o in told["logins"]]),
                  (0, [("KPOP", 1109, True), ("GSSAPI", 110, True)]))
        status, out, _ = run("-P", secret("wrong\n"), "-u", "alice", "--json")
        told = json.loads(out)
        tap.equal((status, [(o["mechanism"], o["good"])
                            for o in told["logins"]]),
                  (1, [("KPOP", True), ("GSSAPI", True), ("PLAIN", False)]))


# ---- tickets that fail ----


def missing_ticket_is_explained():
    fails(login("KPOP", "kpop", user=None), "ticket", "", "kinit")
    fails(login("GSSAPI", "pop3", user=None), "gssapi", "", "kinit")


def expired_ticket_is_explained():
    cache = realm.empty_ccache()
    realm.run("expired", "alice", cache, "pop/" + net.host())
    fails(login("KPOP", "kpop", KRB5CCNAME=cache), "ticket", "expired",
          "the ticket has ended: kinit")


@tap.helper
def by_another_name(port_number):
    if not net.is_private():
        raise tap.Skip("there is but one name")
    done = subprocess.run(
        [os.path.join(net.BUILD, "kpopctl"), "login", "127.0.0.1", "--mech",
         "KPOP", "--port", port_number, "--json"], check=False, text=True,
        stdout=subprocess.PIPE, env=dict(
            os.environ, **{**realm.env, "KRB5CCNAME": realm.ccache("alice")}))
    tap.equal(done.returncode, 1)
    return json.loads(done.stdout)["logins"][0]


def unknown_service_is_explained():
    fails(by_another_name(port("kpop")), "ticket", "not found",
          "the KDC knows no service under this name")


def port_that_nobody_serves_is_explained():
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = str(free.getsockname()[1])
    fails(by_another_name(number), "connect", "Connection refused",
          "look whether the server runs")


def server_with_another_key_is_explained():
    keytab = os.path.join(scratch.name, "old.keytab")
    realm.run("keytab", keytab, "pop/" + net.host())
    if os.getuid() == 0:
        own(keytab, AUTH_USER)
    other = os.path.join(scratch.name, "kept.keytab")
    with server(keytab=keytab) as old:
        realm.run("rekey", "pop/" + net.host())
        try:
            one = login("KPOP", "kpop", of=old)
            fails(one, "kpop", "the server refuses the ticket",
                  "kpopctl doctor on the server")
        finally:
            realm.run("keytab", other, "pop/" + net.host())
            shutil.copyfile(other, realm.keytab)


def refused_maildrop_is_explained():
    fails(login("KPOP", "kpop", "-u", "alice", user="bob"), "user", "[AUTH]",
          "may not open the maildrop")


def kpop_on_the_port_of_pop3_is_explained():
    fails(login("KPOP", "pop3"), "kpop", "the server says +OK",
          "this is the port of POP3")


def pop3_on_the_port_of_kpop_is_explained():
    one = login("GSSAPI", "kpop")
    tap.true(not one["good"], one)
    tap.equal(one["steps"][-1]["step"], "greeting", str(one))


# ---- TLS and passwords ----


def untrusted_certificate_is_explained():
    for service, more, step in (("pop3", [], "stls"),
                                ("pop3s", ["--pop3s"], "tls")):
        fails(login("PLAIN", service, "-P", secret("alice-password\n"), "-u",
                    "alice", *more, SSL_CERT_FILE="/dev/null"), step, "",
              "SSL_CERT_FILE")


def certificate_for_another_name_is_explained():
    with server(names=["DNS:other.example.org"]) as other:
        fails(login("GSSAPI", "pop3", of=other), "stls", "mismatch",
              "the name that is in the server's certificate")


def password_is_not_sent_without_tls():
    with server(tls_certificate=None, tls_key=None, listen_pop3s=None,
                plaintext="always") as plain:
        for mechanism, step in (("PLAIN", "plain"), ("USER", "user")):
            mark = plain.mark()
            fails(login(mechanism, "pop3", "-P", secret("alice-password\n"),
                        "-u", "alice", of=plain), step,
                  "the password was not sent", "tls_certificate")
            tap.lacks(plain.log(mark), "event=auth.", "the log")


def wrong_password_is_explained():
    for mechanism, step in (("PLAIN", "plain"), ("USER", "user")):
        fails(login(mechanism, "pop3", "-P", secret("wrong\n"), "-u",
                    "alice"), step, "[AUTH]", "the password")


def missing_password_is_explained():
    fails(login("PLAIN", "pop3"), "password", "no password",
          "--password-file")


def password_file_for_others_is_refused():
    status, out, err = run("--mech", "PLAIN", "--port", port(), "-P",
                           secret("alice-password\n", 0o644))
    tap.equal((status, out), (1, ""))
    tap.contains(err, "chmod 600")


def odd_password_files_are_refused():
    for text in ("x" * 600, "alice\0password\n"):
        status, out, err = run("--mech", "PLAIN", "--port", port(), "-P",
                               secret(text))
        tap.equal((status, out), (1, ""))
        tap.contains(err, "has no line")
    status, _, err = run("--mech", "PLAIN", "-P", "/nonexistent/file")
    tap.equal(status, 1)
    tap.contains(err, "/nonexistent/file: ")


def password_is_asked_for_on_the_terminal_without_echo():
    host = net.host()  # perhaps made of this process's number
    pid, master = pty.fork()
    if pid == 0:
        os.execve(os.path.join(net.BUILD, "kpopctl"),
                  ["kpopctl", "login", host, "--mech", "PLAIN",
                   "--port", port(), "-u", "alice"],
                  dict(os.environ, **{**realm.env, "TERM": "dumb",
                                      "SSL_CERT_FILE": authority.path}))
    heard = b""
    typed = False
    deadline = time.monotonic() + 30 * tap.SLOW
    try:
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 1)[0]:
                continue
            heard += os.read(master, 4096)
            if not typed and b"none): " in heard:
                typed = True
                os.write(master, b"alice-password\n")
    except OSError:
        pass  # its end of the terminal was closed
    finally:
        os.close(master)
        _, status = os.waitpid(pid, 0)
    text = heard.decode()
    tap.equal(os.waitstatus_to_exitcode(status), 0, text)
    tap.contains(text, "ok: PLAIN: stat: ")
    tap.lacks(text, "alice-password", "what the terminal shows")


# ---- servers that misbehave ----


@tap.helper
def false_server(*answers):
    """Says the answers, one for each piece of the client's; its port."""
    listener = socket.create_server((net.address(), 0))

    def serve():
        line, _ = listener.accept()
        with line, listener:
            try:
                heard = b""
                for answer in answers:
                    line.sendall(answer(heard) if callable(answer)
                                 else answer)
                    heard = line.recv(4096)
                    if not heard:
                        return
            except OSError:
                pass  # the client went away, as it should

    threading.Thread(target=serve, daemon=True).start()
    return str(listener.getsockname()[1])


@tap.helper
def misled(mechanism, *answers, user="alice"):
    status, out, err = run("--json", "--mech", mechanism, "--port",
                           false_server(*answers), "-P",
                           secret("alice-password\n"), "-u", user)
    tap.equal((status, err), (1, ""), out)
    return json.loads(out)["logins"][0]


def octets_before_tls_are_refused():
    fails(misled("PLAIN", b"+OK hello\r\n", b"+OK\r\nSTLS\r\n.\r\n",
                 b"+OK begin\r\n+OK injected\r\n"), "stls",
          "more before TLS began", "")


def taking_stls_away_sends_no_password():
    fails(misled("USER", b"+OK hello\r\n", b"+OK\r\nUSER\r\n.\r\n"), "user",
          "the password was not sent", "")


def hang_up_is_told():
    fails(misled("KPOP", b""), "kpop", "closed the connection", "")
    fails(misled("GSSAPI"), "greeting", "closed the connection", "")


def controls_of_a_server_stay_off_the_terminal():
    status, out, _ = run("--mech", "GSSAPI", "--port",
                         false_server(b"-ERR \x1b[2Jgone\x07\xff\r\n"))
    tap.equal(status, 1)
    tap.contains(out, "-ERR ?[2Jgone??")
    tap.lacks(out, "\x1b", "the terminal")


def endless_lines_and_lengths_are_refused():
    fails(misled("GSSAPI", b"+OK " + b"x" * 5000), "greeting",
          "a line of more than", "")
    fails(misled("KPOP", b"\0\x7f\xff\xff\xff"), "kpop",
          "no answer of KPOP's", "")


def wrong_calls_are_refused():
    for words in (["--mech", "NTLM"], ["--port", "0"], ["--port", "65536"],
                  ["--port", "1x"], ["-u", "a\nb"], ["extra"]):
        status, out, err = run(*words)
        tap.equal((status, out), (2, ""), f"{words}")
        tap.true(err, f"a sentence for {words}")


if __name__ == "__main__":
    tap.main(globals(), before, after)
