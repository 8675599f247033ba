#!/usr/bin/env python3
# login.py - kpopctl login as a client of a real kpopd in a real realm: each
# mechanism, and what it says of each step that fails.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import base64
import fcntl
import glob
import hashlib
import hmac
import json
import os
import pty
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import termios
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
silent = []


@tap.helper
def before():
    global realm, authority, kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    authority = Authority(os.path.join(scratch.name, "ca"))
    kpopd = server()
    Maildir(kpopd, "alice").fill(2)
    ask_silent_servers()


@tap.helper
def after():
    for process, line in silent:
        process.kill()
        process.communicate()
        line.close()
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
def ask_silent_servers():
    """They are given up after 30 seconds, in which other tests run."""
    for more in ([], ["--pop3s"]):
        listener = socket.create_server((net.address(), 0))
        number = str(listener.getsockname()[1])
        process = subprocess.Popen(
            [os.path.join(net.BUILD, "kpopctl"), "login", net.host(),
             "--mech", "GSSAPI", "--port", number, *more],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        silent.append((process, listener.accept()[0]))
        listener.close()
        # A stop (^Z) interrupts what waits with a limit of time.
        await_state(process.pid, "S")
        process.send_signal(signal.SIGSTOP)
        await_state(process.pid, "T")
        process.send_signal(signal.SIGCONT)


@tap.helper
def await_state(pid, state):
    def look():
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == state
    tap.await_(look, f"state {state} of process {pid}")


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
def false_server(*answers, tls=None):
    """Says the answers, one for each piece of the client's; its port.  tls:
    a certificate and its key, in use from the first octet."""
    listener = socket.create_server((net.address(), 0))

    def serve():
        line, _ = listener.accept()
        with line, listener:
            try:
                if tls:
                    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    made.load_cert_chain(*tls)
                    line = made.wrap_socket(line, server_side=True)
                heard = b"something"
                for left, answer in zip(range(len(answers))[::-1], answers):
                    line.sendall(answer(heard) if callable(answer)
                                 else answer)
                    if left > 0 or tls:
                        heard = line.recv(4096)
                    if not heard:
                        return
                if not tls:  # what is unread at close() would be a reset
                    line.shutdown(socket.SHUT_WR)
                    while line.recv(4096):
                        pass
            except OSError:
                pass  # the client went away, as it should

    threading.Thread(target=serve, daemon=True).start()
    return str(listener.getsockname()[1])


@tap.helper
def misled(mechanism, *answers, user="alice", password="alice-password",
           tls=False, **env):
    """What is told of a server that says these answers."""
    more = ["--pop3s"] if tls else []
    pair = (kpopd.keys["tls_certificate"], kpopd.keys["tls_key"])
    status, out, err = run("--json", "--mech", mechanism, *more, "--port",
                           false_server(*answers, tls=pair if tls else None),
                           "-P", secret(password + "\n"), "-u", user, **env)
    tap.equal((status, err), (1, ""), out)
    return json.loads(out)["logins"][0]


@tap.helper
def stops(mechanism, step, text, advice, *answers, **more):
    """The last step that is told of such a server."""
    one = misled(mechanism, *answers, **more)
    last = one["steps"][-1]
    what = f"{mechanism}, {answers}: {one}"
    tap.equal((one["good"], last["step"]), (False, step), what)
    tap.contains(last["text"], text, what)
    tap.contains(last["advice"], advice, what)


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


GREETING = b"+OK hello <1.2@x>\r\n"
CAPA = b"+OK\r\n.\r\n"
CLOSED = "closed the connection"


@tap.helper
def challenge(text):
    """A line of AUTH."""
    return b"+ " + base64.b64encode(text.encode()) + b"\r\n"


def response_codes_say_what_to_do():
    for code, advice in (
            ("IN-USE", "another client has the maildrop open"),
            ("LOGIN-DELAY", "wait, then try again"),
            ("SYS/TEMP", "run kpopctl doctor there"),
            ("AUTH", "principal_map and realms"),
            ("UTF8", "look into the server's log")):
        stops("APOP", "apop", f"-ERR [{code}] no", advice, GREETING, CAPA,
              f"-ERR [{code}] no\r\n".encode())


def servers_that_stop_half_way_are_told():
    """Each step of each way in, where the server then closes."""
    for mechanism, step, more, answers in (
            ("KPOP", "kpop", {}, [b"", b"\0", bytes(4)]),
            ("KPOP", "kpop", {}, [b"", b"\0", b"\0\0\0\5ab"]),
            ("GSSAPI", "gssapi", {}, [b"+ \r\n"]),
            ("CRAM-MD5", "cram", {}, [challenge("<1@x>")]),
            ("APOP", "apop", {}, []),
            ("SCRAM-SHA-256", "scram", {}, [b"+ \r\n"]),
            ("PLAIN", "plain", {"tls": True}, [b"+ \r\n"]),
            ("USER", "user", {"tls": True}, [b"+OK\r\n"]),
            ("USER", "stat", {"tls": True}, [b"+OK\r\n", b"+OK\r\n"])):
        first = [] if mechanism == "KPOP" else [GREETING, CAPA]
        for count in range(len(answers) + 1):
            one = misled(mechanism, *first, *answers[:count], **more)
            last = one["steps"][-1]
            what = f"{mechanism} {answers[:count]}: {one}"
            tap.equal((one["good"], last["good"]), (False, False), what)
            tap.contains(last["text"], CLOSED, what)
        tap.equal(last["step"], step, what)
    stops("APOP", "capa", CLOSED, "", GREETING)
    stops("APOP", "capa", CLOSED, "", GREETING, b"+OK\r\nUSER\r\n")
    stops("APOP", "stls", CLOSED, "", GREETING, b"+OK\r\nSTLS\r\n.\r\n")


def answers_that_make_no_sense_are_told():
    none = "the server says "
    base64s = "the server's answer is no base64"
    long = b"+OK\r\n" + b"X-SOME-LONG-CAPABILITY\r\n" * 80 + b".\r\n"
    words = b"+OK\r\nSASLX PLAIN\r\nSASL PLAINS X-PLAIN\r\n.\r\n"
    for mechanism, step, text, advice, answers in (
            ("GSSAPI", "gssapi", none + "-ERR no", "", [b"-ERR no\r\n"]),
            ("GSSAPI", "gssapi", none + "+OK", "", [b"+OK\r\n"]),
            ("GSSAPI", "gssapi", base64s, "", [b"+ x\r\n"]),
            ("GSSAPI", "gssapi", "", "kpopctl login --mech KPOP",
             [b"+ \r\n", challenge("no token")]),
            ("CRAM-MD5", "cram", none + "-ERR no", "", [b"-ERR no\r\n"]),
            ("CRAM-MD5", "cram", none + "+ok", "", [b"+ok\r\n"]),
            ("CRAM-MD5", "cram", base64s, "", [b"+ abc\r\n"]),
            ("CRAM-MD5", "cram", base64s, "", [b"+ a!bc\r\n"]),
            ("SCRAM-SHA-256", "scram", none + "-ERR no", "",
             [b"-ERR no\r\n"]),
            ("SCRAM-SHA-256", "scram", none + "-ERR no", "",
             [b"+ \r\n", b"-ERR no\r\n"]),
            ("SCRAM-SHA-256", "scram", "the server's challenge is none", "",
             [b"+ \r\n", b"+ \r\n"])):
        for capa in (CAPA, b"-ERR what?\r\n", long):
            stops(mechanism, step, text, advice, GREETING, capa, *answers)
    for mechanism, step, text, advice, answers in (
            ("PLAIN", "plain", "does not offer PLAIN", "see mechanisms",
             [words]),
            ("PLAIN", "plain", none + "-ERR no", "", [CAPA, b"-ERR no\r\n"]),
            ("USER", "user", none + "-ERR no", "", [CAPA, b"-ERR no\r\n"]),
            ("USER", "stat", none + "-ERR [SYS/TEMP]", "kpopctl doctor",
             [b"-ERR\r\n", b"+OK\r\n", b"+OK\r\n",
              b"-ERR [SYS/TEMP] no\r\n"])):
        stops(mechanism, step, text, advice, GREETING, *answers, tls=True)
    for banner in (b"+OK hello\r\n", b"+OK hello <x\r\n"):
        stops("APOP", "apop", "the server has no APOP", "secrets", banner,
              CAPA)


def tls_that_fails_is_told():
    offer = [GREETING, b"+OK\r\nSTLS\r\n.\r\n"]
    stops("APOP", "stls", "the server says -ERR [SYS/TEMP] no",
          "kpopctl doctor there", *offer, b"-ERR [SYS/TEMP] no\r\n")
    speaks = "look whether this port speaks TLS"
    stops("APOP", "stls", "wrong version number", speaks, *offer,
          b"+OK begin\r\n", b"-ERR what is that?\r\n")
    stops("APOP", "stls", "eof", speaks, *offer, b"+OK begin\r\n")


def names_and_passwords_of_two_lines_are_not_sent():
    for mechanism, step in (*SECRETS, ("USER", "user")):
        stops(mechanism, step, "has more than one line", "one line each",
              GREETING, CAPA, password="alice\rDELE 1",
              tls=mechanism == "USER")


@tap.helper
def between(number, change):
    """A port where somebody passes on what a client and the server at the
    port number say; the server's lines as change() makes them."""
    listener = socket.create_server((net.address(), 0))

    def serve():
        line, _ = listener.accept()
        with listener, line, socket.create_connection(
                (net.address(), int(number))) as server_line, \
                server_line.makefile("rb") as lines:
            threading.Thread(target=forward, args=(line, server_line),
                             daemon=True).start()
            for text in lines:
                line.sendall(change(text))

    def forward(line, server_line):
        try:
            while octets := line.recv(4096):
                server_line.sendall(octets)
            server_line.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other thread is done

    threading.Thread(target=serve, daemon=True).start()
    return str(listener.getsockname()[1])


def last_words_of_gssapi_are_judged():
    """The server has proved its key; what follows is somebody else's."""
    with server(tls_certificate=None, tls_key=None, listen_pop3s=None,
                plaintext="always") as plain:
        for text, advice, which, words in (
                ("the server says -ERR no", "the server's log", 3,
                 b"-ERR no\r\n"),
                ("no base64", "the server's log", 3, b"+ x\r\n"),
                ("", "get a ticket: kinit", 3, challenge("\1\0\0\0")),
                ("the server says +", "the server's log", 4, b"+ \r\n"),
                ("-ERR [IN-USE] busy", "another client", 4,
                 b"-ERR [IN-USE] busy\r\n")):
            heard = []

            def change(line):
                if heard or line.startswith(b"+ "):
                    heard.append(line)
                return words if len(heard) == which else line

            number = between(port(of=plain), change)
            status, out, _ = run("--json", "--mech", "GSSAPI", "--port",
                                 number)
            tap.equal(status, 1, out)
            fails(json.loads(out)["logins"][0], "gssapi", text, advice)


# ---- false servers of SCRAM ----


@tap.helper
def scram_first(heard, more="more", salt="c2FsdA==", rounds="4096"):
    """The server's first message to what the client said."""
    nonce = base64.b64decode(heard).decode().rpartition("r=")[2]
    return challenge(f"r={nonce}{more},s={salt},i={rounds}")


def challenges_of_scram_are_judged():
    begin = [GREETING, CAPA, b"+ \r\n"]
    none = "the server's challenge is none"
    odd = "the server's number of rounds is odd"
    for text, answer in (
            (none, challenge("r=mine,s=c2FsdA==,i=4096")),
            (none, challenge("n=mine,s=c2FsdA==,i=4096")),
            (none, challenge("r=mine")),
            (none, lambda heard: scram_first(heard, ",x=c2FsdA==")),
            (none, lambda heard: scram_first(heard, salt="a,x=1")),
            (none, lambda heard: scram_first(heard, more="m" * 1100)),
            (odd, lambda heard: scram_first(heard, rounds="0")),
            (odd, lambda heard: scram_first(heard, rounds="-1")),
            (odd, lambda heard: scram_first(heard, rounds="10000001")),
            (odd, lambda heard: scram_first(heard, rounds="many")),
            ("no base64", lambda heard: scram_first(heard, salt="c2F")),
            ("the server says -ERR", b"-ERR no\r\n")):
        stops("SCRAM-SHA-256", "scram", text, "", *begin, answer)
    for text, answer in (
            ("does not know the secret", challenge("e=invalid-proof")),
            ("does not know the secret", challenge("v=")),
            (CLOSED, b""),
            # It let us in without a proof of its own.
            ("the server says +OK", b"+OK\r\n")):
        stops("SCRAM-SHA-256", "scram", text, "", *begin, scram_first,
              answer)


def scram_server_that_knows_the_secret_may_refuse():
    """The proof is right, and then the maildrop is not to be had."""
    said = []

    def first(heard):
        said.append(base64.b64decode(heard).decode().partition("n,,")[2])
        answer = scram_first(heard)
        said.append(base64.b64decode(answer[2:]).decode())
        return answer

    def final(heard):
        said.append(base64.b64decode(heard).decode().partition(",p=")[0])
        salted = hashlib.pbkdf2_hmac("sha256", b"alice-password", b"salt",
                                     4096)
        key = hmac.digest(salted, b"Server Key", "sha256")
        proof = hmac.digest(key, ",".join(said).encode(), "sha256")
        return challenge("v=" + base64.b64encode(proof).decode())

    stops("SCRAM-SHA-256", "scram", "-ERR [IN-USE] busy", "another client",
          GREETING, CAPA, b"+ \r\n", first, final,
          b"-ERR [IN-USE] busy\r\n")


# ---- false servers of KPOP ----


@tap.helper
def der(tag, *parts):
    octets = b"".join(parts)
    size = len(octets)
    return (bytes([tag]) + (bytes([size]) if size < 128
                            else bytes([0x82, size >> 8, size & 255]))
            + octets)


@tap.helper
def krb_error(code, text=None):
    """KRB-ERROR of RFC 4120, section 5.9.1."""
    def integer(number):
        return der(2, number.to_bytes(2, "big"))

    def string(words):
        return der(27, words.encode())

    fields = [(0, integer(5)), (1, integer(30)),
              (4, der(24, b"20261201120000Z")), (5, integer(0)),
              (6, integer(code)), (9, string("EXAMPLE.ORG")),
              (10, der(48, der(0xa0, integer(1)),
                       der(0xa1, der(48, string("pop")))))]
    if text is not None:
        fields.append((11, string(text)))
    return der(0x7e, der(48, *(der(0xa0 + number, value)
                               for number, value in fields)))


@tap.helper
def framed(octets):
    return len(octets).to_bytes(4, "big") + octets


def refusals_of_kpop_say_what_to_do():
    for code, advice in (
            (31, "the server's keytab has another key"),
            (32, "the ticket has ended: kinit"),
            (33, "the clocks differ"), (37, "the clocks differ"),
            (34, "somebody used this request before"),
            (35, "the server has no key for this name"),
            (38, "the ticket is for another address: kinit -A"),
            (41, "the server's keytab has another key"),
            (44, "the server's keytab has not the key of this ticket"),
            (45, "the server can't read its keytab"),
            (60, "look into the server's log; KRB5_TRACE=/dev/stderr")):
        stops("KPOP", "kpop", "the server refuses the ticket: ", advice, b"",
              b"\0", framed(krb_error(code, "why\033[2J")))
    stops("KPOP", "kpop", "()", "", b"", b"\0", framed(krb_error(60)))


def handshakes_that_make_no_sense_are_told():
    speaks = "look whether this port speaks KPOP"
    for text, advice, answers in (
            ("does not know KRB5_SENDAUTH_V1.0", speaks, [b"\1"]),
            ("does not know KPOPV1.0; see its kpop_versions", speaks,
             [b"\2"]),
            ("the server says +", "this is the port of POP3", [b"+"]),
            ("the server says -ERR no", "use --mech GSSAPI",
             [b"-ERR no\r\n"]),
            ("no answer of KPOP's", speaks, [b"\0", b"+OK\r\n"]),
            ("", "look into the server's log",
             [b"\0", framed(b"no KRB_ERROR")]),
            ("", "look into the server's log",
             [b"\0", bytes(4) + framed(b"")]),
            ("", "look into the server's log",
             [b"\0", bytes(4) + framed(b"no AP_REP")])):
        stops("KPOP", "kpop", text, advice, b"", *answers)


def silent_servers_are_given_up():
    for (process, _), text in zip(silent, (
            "greeting: no answer: nothing for 30 seconds; do: ",
            "tls: TLS: nothing for 30 seconds; do: look whether this port "
            "speaks TLS")):
        out, _ = process.communicate(timeout=60 * tap.SLOW)
        tap.equal(process.returncode, 1, out)
        tap.contains(out, text)


def line_ends_in_a_principal_are_no_commands():
    """The user's name of a ticket comes from a KDC."""
    evil = r"alice\nDELE 1"
    cache = realm.empty_ccache()
    for words, typed in (
            (["kadmin.local", "-r", "EXAMPLE.ORG"],
             f'addprinc -pw pw "{evil}"'),
            (["kinit", "-c", cache, "-S", "pop/" + net.host(), evil], "pw")):
        subprocess.run(words, input=typed + "\n", text=True, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env=dict(os.environ, **realm.env))
    fails(login("KPOP", "kpop", KRB5CCNAME=cache), "user",
          "has more than one line", "one line each")


def host_without_address_is_explained():
    done = subprocess.run(
        [os.path.join(net.BUILD, "kpopctl"), "login", "no.such.invalid",
         "--mech", "KPOP", "--json"], check=False, text=True,
        stdout=subprocess.PIPE)
    fails(json.loads(done.stdout)["logins"][0], "connect",
          "no.such.invalid has no address: ", "spelling of the name, and at "
          "DNS")


def expired_certificate_is_explained():
    library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not library or os.environ.get("KPOP_CHECKER") in ("asan", "tsan"):
        raise tap.Skip("without libfaketime the clock stays")
    for shift, text in (("+60d", "expired"), ("-60d", "not yet valid")):
        stops("APOP", "tls", text, "or set this machine's clock", GREETING,
              tls=True, LD_PRELOAD=library[0], FAKETIME=shift)


def certificate_for_an_address_is_good_for_it():
    """HOST is an address; clients ask no name server."""
    with server(names=["IP:127.0.0.1"]) as other:
        Maildir(other, "alice").fill(1)
        done = subprocess.run(
            [os.path.join(net.BUILD, "kpopctl"), "login", "127.0.0.1",
             "--mech", "USER", "--port", port(of=other), "-u", "alice",
             "-P", secret("alice-password\r\n")], check=False, text=True,
            env=dict(os.environ, SSL_CERT_FILE=authority.path),
            stdout=subprocess.PIPE)
        tap.equal(done.returncode, 0, done.stdout)
        tap.contains(done.stdout, "ok: USER: stls: TLSv1.3")


def port_alone_says_which_mechanisms():
    """1109 is KPOP's, every other one POP3's; nobody serves these."""
    if not net.is_private():
        raise tap.Skip("the ports are not ours")
    file = secret("alice-password\n")
    for words, want in (
            ([], [("KPOP", 1109), ("GSSAPI", 110)]),
            (["-P", file], [("KPOP", 1109), ("GSSAPI", 110),
                            ("PLAIN", 110)]),
            (["--port", "1109"], [("KPOP", 1109)]),
            (["--port", "1110"], [("GSSAPI", 1110)]),
            (["--port", "1110", "-P", file], [("GSSAPI", 1110),
                                              ("PLAIN", 1110)]),
            (["--pop3s"], [("GSSAPI", 995)]),
            (["--pop3s", "--port", "1109"], [("GSSAPI", 1109)]),
            (["--mech", "plain", "--pop3s", "-P", file],
             [("PLAIN", 995)])):
        status, out, _ = run("--json", *words)
        tap.equal((status, [(o["mechanism"], o["port"])
                            for o in json.loads(out)["logins"]]), (1, want),
                  str(words))


def odd_passwords_of_files_and_users():
    """Windows ends lines by CRLF; a file may be empty; a user have no name."""
    file = secret("alice-password\r\n")
    works(login("APOP", "pop3", "-P", file, "-u", "alice"), "connect",
          "greeting", "stls", "apop", "stat")
    for text in ("", "\n"):
        fails(login("APOP", "pop3", "-P", secret(text), "-u", "alice"),
              "apop", "[AUTH]", "the password")
    status, out, err = run("--mech", "APOP", "-P", scratch.name)
    tap.equal((status, out), (1, ""))
    tap.contains(err, "has no line of up to")
    if os.getuid() != 0:
        raise tap.Skip("only root can be somebody else")
    shutil.copy(os.path.join(net.BUILD, "kpopctl"), scratch.name)
    os.chown(file, 123456789, -1)
    done = subprocess.run(
        [os.path.join(scratch.name, "kpopctl"), "login", net.host(), "-e",
         "APOP", "-p", "9", "-P", file], check=False, text=True,
        user=123456789, stdout=subprocess.PIPE)
    tap.equal(done.stdout, "failed: APOP: password: this machine has no name "
              "for who asks; do: --user USER\n")


@tap.helper
def at_terminal(typed, controls):
    """What kpopctl login APOP says with a terminal as its stdin."""
    master, slave = pty.openpty()
    number = false_server(GREETING, CAPA, b"-ERR no\r\n")

    def take():
        os.setsid()
        if controls:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [os.path.join(net.BUILD, "kpopctl"), "login", net.host(), "-e",
         "APOP", "-p", number, "-u", "alice"], stdin=slave, text=True,
        stdout=subprocess.PIPE, preexec_fn=take)
    if typed:
        heard = b""
        while b"none): " not in heard:
            heard += os.read(master, 4096)
        os.write(master, typed)
    out, _ = process.communicate(timeout=60 * tap.SLOW)
    os.close(slave)
    os.close(master)
    return out


def terminals_without_a_password_are_none():
    none = "failed: APOP: password: there is no password to try"
    tap.contains(at_terminal(b"", False), none)
    tap.contains(at_terminal(b"\n", True), none)
    tap.contains(at_terminal(b"x" * 600 + b"\n", True), none)
    tap.contains(at_terminal(b"wrong\n", True), "apop: the server says -ERR")


def machine_without_md5_is_told():
    """As one that is set to FIPS 140 has none."""
    config = os.path.join(scratch.name, "fips.cnf")
    with open(config, "w", encoding="ascii") as file:
        file.write("openssl_conf = a\n[a]\nalg_section = b\n"
                   "[b]\ndefault_properties = fips=yes\n")
    for mechanism, step, more in (
            ("CRAM-MD5", "cram", [challenge("<1@x>")]), ("APOP", "apop", [])):
        stops(mechanism, step, "OpenSSL on this machine has no MD5", "",
              GREETING, CAPA, *more, OPENSSL_CONF=config)


def password_may_come_through_a_pipe():
    """As from a program that keeps it; a pipe has no mode to look at."""
    out, end = os.pipe()
    os.write(end, b"piped\n")
    os.close(end)
    heard = []

    def refuse(line):
        heard.append(line)
        return b"-ERR no\r\n"

    subprocess.run(
        [os.path.join(net.BUILD, "kpopctl"), "login", net.host(), "--mech",
         "APOP", "--port", false_server(GREETING, CAPA, refuse), "-u",
         "alice", "-P", f"/dev/fd/{out}"], check=False, pass_fds=[out],
        stdout=subprocess.DEVNULL)
    os.close(out)
    digest = hashlib.md5(b"<1.2@x>piped", usedforsecurity=False).hexdigest()
    tap.equal(heard, [f"APOP alice {digest}\r\n".encode()])


def wrong_calls_are_refused():
    for words in (["--mech", "NTLM"], ["--port", "0"], ["--port", "65536"],
                  ["--port", "1x"], ["--port", ""], ["--port", ":"],
                  ["-u", "a\nb"], ["-u", "u" * 256], ["extra"]):
        status, out, err = run(*words)
        tap.equal((status, out), (2, ""), f"{words}")
        tap.true(err, f"a sentence for {words}")
    for host in ("", "h" * 256):
        done = subprocess.run(
            [os.path.join(net.BUILD, "kpopctl"), "login", host], text=True,
            check=False, stderr=subprocess.PIPE)
        tap.equal(done.returncode, 2, host)
        tap.contains(done.stderr, "have up to 255 octets")


if __name__ == "__main__":
    tap.main(globals(), before, after)
