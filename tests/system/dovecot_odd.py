#!/usr/bin/env python3
# dovecot_odd.py - KPOP inside Dovecot between others that misbehave: an auth
# process that answers nonsense or out of turn, a login process that is none of
# ours, other servers behind the proxy, passdbs that fail or answer later, and
# configurations that are wrong.  Each is answered, and nobody gets in.
# TIME-LIMIT: 300
#
# SPDX-License-Identifier: MIT
import base64
import contextlib
import os
import socket
import subprocess
import tempfile
import threading

from harness import net, tap

net.enter()

from harness import dovecot as suite  # noqa: E402 (inside the network)
from harness.realm import ApReq, Realm  # noqa: E402
from harness.wire import VERSIONS, Kpop, frame  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-odd-")
realm = None
counter = 0


@tap.helper
def before():
    global realm
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    suite.cover(os.path.join(scratch.name, "cover"))
    realm = Realm(os.path.join(scratch.name, "realm"))


@tap.helper
def after():
    if realm:
        realm.stop()
    scratch.cleanup()


def server(**more):
    global counter
    counter += 1
    return suite.Dovecot(os.path.join(scratch.name, f"d{counter}"), realm,
                         **more)


def rewrite(dovecot, old, new):
    """In its configuration, before it starts."""
    with open(dovecot.path, encoding="ascii") as file:
        text = file.read()
    tap.contains(text, old)
    with open(dovecot.path, "w", encoding="ascii") as file:
        file.write(text.replace(old, new))


def ap_req():
    return ApReq(realm, ccache=realm.ccache("alice"))


def coded(octets):
    return base64.b64encode(octets)


def answer(dovecot, octets):
    with Kpop(dovecot, seconds=20) as client:
        client.send(octets)
        return client.rest()


def login(dovecot, mailbox="alice"):
    """What is said to PASS, of alice's ticket."""
    with ap_req() as request, Kpop(dovecot, seconds=20) as client:
        client.handshake(request.octets)
        return client.login(mailbox)


def is_well(dovecot):
    for word in ("Panic", "assert", "fatal", "killed with signal"):
        tap.lacks(dovecot.log(), word, "log:\n" + dovecot.log())


class Talker:
    """A thread that listens and has one answer for each line it hears."""

    def __init__(self, listener, greeting, *answers):
        self.listener = listener
        self.greeting = greeting
        self.answers = answers
        self.heard = []
        self.connections = []
        listener.listen(8)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            with connection, contextlib.suppress(OSError):
                self._talk(connection, list(self.answers))

    def _talk(self, connection, answers):
        connection.sendall(self.greeting)
        with connection.makefile("rb") as lines:
            for line in lines:
                if not self.minds(line):
                    continue
                self.heard.append(line.rstrip(b"\r\n"))
                if not answers or answers[0] is None:
                    return
                connection.sendall(self.form(line, answers.pop(0)))

    def minds(self, line):
        return line != b""

    def form(self, _, text):
        return text

    def stop(self):
        for one in (self.listener, *self.connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


# ---- an auth process that is none ----

HELLO = ("VERSION\t1\t2\nMECH\t{0}\tprivate\tmutual-auth\nSPID\t7\n"
         "CUID\t1\nCOOKIE\t0123456789abcdef0123456789abcdef\nDONE\n")


class Oracle(Talker):
    """Answers AUTH and CONT; $ in an answer is the number of the login."""

    def __init__(self, dovecot, *answers, mechanism="KPOP"):
        path = os.path.join(dovecot.directory, "run/login/fake")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, 0o666)
        super().__init__(listener, HELLO.format(mechanism).encode(),
                         *answers)

    def minds(self, line):
        return line.startswith((b"AUTH\t", b"CONT\t"))

    def form(self, line, text):
        return text.replace(b"$", line.split(b"\t")[1].strip())


def piece(octets):
    return b"CONT\t$\t" + coded(octets) + b"\n"


PROVED = piece(b"p")
REQUEST = VERSIONS + frame(b"n" * 10000)  # two pieces
NAME = b"USER alice\r\nPASS krb_ticket\r\n"


def oracle_is_believed_in_order_alone():
    more = "service kpop-login {\n  executable = kpop-login fake\n}\n"
    with server(more=more) as dovecot:
        for name, answers, end in (
                ("nothing asked for behind the last piece",
                 (piece(b"n"), piece(b"n")), b"SYS/TEMP"),
                ("no answer at all", (piece(b"x"),), b"SYS/TEMP"),
                ("no base64", (b"CONT\t$\t****\n",), b"SYS/TEMP"),
                ("an empty answer", (b"CONT\t$\t\n",), b"SYS/TEMP"),
                ("failure at once", (b"FAIL\t$\tuser=alice\n",),
                 b"did not accept the ticket"),
                ("trouble at once", (b"FAIL\t$\tuser=alice\tcode=temp_fail\n",),
                 b"SYS/TEMP"),
                ("gone at once", (None,), b"SYS/TEMP"),
                ("success before the proof",
                 (b"OK\t$\tuser=alice\n",), b"SYS/TEMP"),
                ("success between the pieces",
                 (piece(b"n"), b"OK\t$\tuser=alice\n"), b"SYS/TEMP"),
                ("gone behind the proof", (piece(b"n"), PROVED, None),
                 b"SYS/TEMP"),
                ("proved twice", (piece(b"n"), PROVED, PROVED),
                 b"SYS/TEMP")):
            with Oracle(dovecot, *answers) as oracle:
                heard = answer(dovecot, REQUEST + NAME)
                tap.true(len(oracle.heard) > 0, name + " was asked")
            tap.contains(heard, end, f"{name}\n{dovecot.log()}")
            tap.lacks(heard, b"+OK Logged in", name)
        is_well(dovecot)


def oracle_without_the_mechanism_is_named_in_the_log():
    more = "service kpop-login {\n  executable = kpop-login fake\n}\n"
    with server(more=more) as dovecot:
        with Oracle(dovecot, mechanism="OTHER"):
            tap.contains(answer(dovecot, REQUEST), b"SYS/TEMP")
        dovecot.await_log("the auth process has no mechanism KPOP")
        is_well(dovecot)


# ---- a login process that is none ----

class Asker:
    """Speaks to the auth process as a login process does."""

    def __init__(self, dovecot):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20 * tap.SLOW)
        self.socket.connect(os.path.join(dovecot.directory,
                                         "run/login/login"))
        self.lines = self.socket.makefile("rb")
        self.socket.sendall(b"VERSION\t1\t2\nCPID\t%d\n" % os.getpid())
        while self.lines.readline() != b"DONE\n":
            pass
        self.count = 0

    def ask(self, first, *more, service="pop3"):
        """The answer to each message of a login."""
        self.count += 1
        self.socket.sendall(b"AUTH\t%d\tKPOP\tservice=%s\tsecured\tresp=%s\n"
                            % (self.count, service.encode(), coded(first)))
        found = [self._answer()]
        for octets in more:
            self.socket.sendall(b"CONT\t%d\t%s\n"
                                % (self.count, coded(octets)))
            found.append(self._answer())
        return found

    def _answer(self):
        fields = self.lines.readline().rstrip(b"\n").split(b"\t")
        tap.equal(int(fields[1]), self.count, "of which login")
        return (fields[0] if fields[0] != b"CONT"
                else base64.b64decode(fields[2])[:1])

    def close(self):
        self.lines.close()
        self.socket.close()


def asker_that_is_no_kpop_login_gets_nowhere():
    large = b"m" + b"n" * 8000
    with server() as dovecot, ap_req() as request:
        asker = Asker(dovecot)
        for name, messages, service, want in (
                ("a service of another kind", (b"lxx",), "imap", [b"FAIL"]),
                ("an empty piece", (b"",), "pop3", [b"FAIL"]),
                ("an unknown piece", (b"xyz",), "pop3", [b"FAIL"]),
                ("an empty piece behind a good one", (b"mn", b""), "pop3",
                 [b"n", b"FAIL"]),
                ("pieces without end", (large,) * 17, "pop3",
                 [b"n"] * 16 + [b"FAIL"]),
                ("junk", (b"lxx", b"alice"), "pop3", [b"r", b"FAIL"]),
                ("a ticket and no name", (b"l" + request.octets, b""),
                 "pop3", [b"p", b"FAIL"]),
                ("the ticket again", (b"l" + request.octets,), "pop3",
                 [b"r"])):
            tap.equal(asker.ask(*messages, service=service), want,
                      f"{name}\n{dovecot.log()}")
        asker.close()
        dovecot.await_log("this is no kpop-login")
        dovecot.await_log("KPOP is of no use for imap")
        is_well(dovecot)


# ---- passdbs ----

def passdb_that_answers_later_is_waited_for():
    """A program, which knows nobody."""
    path = os.path.join(scratch.name, "checkpassword")
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexit 3\n")
    os.chmod(path, 0o755)
    if suite.version() >= (2, 4):
        raise tap.Skip("Dovecot 2.4 asks no programs")
    more = f"passdb {{\n  driver = checkpassword\n  args = {path}\n}}\n"
    with server(more=more, users="carol:{PLAIN}x::::::\n") as dovecot:
        dovecot.box("alice")
        tap.contains(login(dovecot), "+OK")
        tap.contains(login(dovecot, "fred"), "-ERR [AUTH]")
        is_well(dovecot)


def name_that_dovecot_does_not_take_is_refused():
    with server(more="auth_username_chars = abcde\n") as dovecot:
        tap.contains(login(dovecot), "-ERR [AUTH]")
        dovecot.await_log("alice@EXAMPLE.ORG: ")
        is_well(dovecot)


# ---- configurations ----

def wrong_configuration_is_named():
    with server(module={"nonsense": "x"}, start=False) as dovecot:
        dovecot.start()
        with contextlib.suppress(ConnectionError):
            tap.equal(answer(dovecot, VERSIONS), b"", "closed")
        dovecot.await_log(r"kpop-login: .*unknown key `nonsense'")


def module_that_is_missing_is_named():
    with server(start=False) as dovecot:
        rewrite(dovecot, os.path.join(net.BUILD, "kpop.so"),
                "/nonexistent/kpop.so")
        dovecot.start()
        with contextlib.suppress(ConnectionError):
            tap.equal(answer(dovecot, VERSIONS), b"", "closed")
        dovecot.await_log("can't load the kpop module: .*nonexistent")


def odd_configuration_is_warned_of_in_both_processes():
    module = {"idle_timeout": "5", "replay_cache": "/nonexistent/replay"}
    with server(module=module) as dovecot, ap_req() as request:
        tap.contains(answer(dovecot, VERSIONS + frame(request.octets)),
                     b"SYS/TEMP")
        dovecot.await_log(r"kpop-login: .*config\.idle_timeout")
        dovecot.await_log(r"auth[:(].*/nonexistent/replay")
        is_well(dovecot)


def keytab_may_be_written_as_kerberos_does():
    with server(start=False) as dovecot:
        dovecot.box("alice")
        rewrite(dovecot, f"krb5_keytab = {dovecot.keytab}",
                f"krb5_keytab = FILE:{dovecot.keytab}")
        dovecot.start()
        tap.contains(login(dovecot), "+OK")


def folder_of_the_replay_cache_must_be_one():
    path = os.path.join(suite.STATE, "kpop")
    subprocess.run(["rm", "-rf", path], check=True)
    with open(path, "w", encoding="ascii"):
        pass
    try:
        with server() as dovecot, ap_req() as request:
            tap.contains(answer(dovecot, VERSIONS + frame(request.octets)),
                         b"SYS/TEMP")
            dovecot.await_log(f"auth: .*{path} is not a folder")
    finally:
        os.unlink(path)


# ---- other servers ----

def _backend(*answers, greeting=b"+OK ready\r\n"):
    listener = socket.create_server(("127.0.0.1", 0))
    return Talker(listener, greeting, *answers)


def proxy_meets_servers_of_all_kinds():
    fails = "-ERR [SYS/TEMP]"
    rows = (
        ("xclient", "forward_fruit=apple forward_tree=elm", "+OK in",
         _backend(b"+OK\r\n", b"+OK\r\n", b"+OK in\r\n",
                  greeting=b"+OK [XCLIENT] ready\r\n")),
        ("login", "proxy_mech=LOGIN", "+OK in",
         _backend(b"+ VXNlcm5hbWU6\r\n", b"+ UGFzc3dvcmQ6\r\n",
                  b"+OK in\r\n")),
        ("nobase64", "proxy_mech=LOGIN", fails, _backend(b"+ ****\r\n")),
        ("asksmore", "proxy_mech=PLAIN", fails, _backend(b"+ \r\n")),
        ("odd", "", fails, _backend(greeting=b"hello\r\n")),
        ("nostls", "starttls=any-cert", fails, _backend(b"-ERR no\r\n")),
        ("busy", "", "-ERR [SYS/TEMP] later",
         _backend(b"+OK\r\n", b"-ERR [SYS/TEMP] later\r\n")),
        ("gone", "", fails, _backend(None)),
    )
    users = "".join(
        f"{name}:{{PLAIN}}x::::::k5principals=alice@EXAMPLE.ORG proxy=y "
        f"host=127.0.0.1 port={backend.listener.getsockname()[1]} "
        f"pass=secret proxy_timeout=2 {fields}\n"
        for name, fields, _, backend in rows)
    with server(users=users) as dovecot:
        for name, _, want, _ in rows:
            heard = login(dovecot, name)
            tap.equal(heard[:len(want)], want,
                      f"{name}: {heard}\n{dovecot.log()}")
        is_well(dovecot)
    for *_, backend in rows:
        backend.stop()
    xclient, sasl = rows[0][3].heard, rows[1][3].heard
    tap.true(xclient[0].startswith(b"XCLIENT ADDR="), f"{xclient}")
    tap.equal(base64.b64decode(xclient[0].rpartition(b"FORWARD=")[2]),
              b"fruit=apple\ttree=elm", "forwarded")
    tap.equal(xclient[1:3], [b"USER xclient", b"PASS secret"], "then")
    tap.equal(sasl[:3], [b"AUTH LOGIN =", coded(b"login"), coded(b"secret")],
              "by SASL")


tap.main(globals(), before, after)
