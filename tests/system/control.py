#!/usr/bin/env python3
# control.py - kpopd's socket for kpopctl: who, kick, stats, and who may ask.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import contextlib
import json
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import tempfile
import threading

from harness import net, tap

net.enter()

from harness import server as servers  # noqa: E402 (inside the network)
from harness import tls  # noqa: E402
from harness.maildir import Maildir  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd, kpopctl, passwords  # noqa: E402
from harness.wire import Kpop, Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-control-")
realm = None
authority = None
counter = 0

USERS = ("alice", "bob", "carol")
ABSENT, DENIED = 3, 4


@tap.helper
def before():
    global realm, authority
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    authority = tls.Authority(os.path.join(scratch.name, "ca"))
    authority.sign("server", "localhost")
    servers.give(authority.directory, servers.WORKER_USER)


@tap.helper
def after():
    if realm:
        realm.stop()
    scratch.cleanup()


@tap.helper
def place():
    global counter
    counter += 1
    return os.path.join(scratch.name, f"kpopd{counter}")


def kpopd(start=True, **keys):
    """With a maildir of two messages for each user."""
    directory = place()
    keys.setdefault("plaintext", "always")
    keys.setdefault("listen_pop3", f"{net.address()}:0")
    server = Kpopd(directory, realm, start=False,
                   passwords="file:" + passwords(directory, *USERS), **keys)
    for user in USERS:
        Maildir(server, user).fill(2)
    return server.start() if start else server


def path(server):
    return os.path.join(server.state, "control")


def ask(server, *words, status=0):
    """What a command says as JSON."""
    code, out, err = kpopctl(server.path, *words, "--json", env=server.env)
    tap.equal(code, status, f"exit status of {words}; {out}{err}")
    tap.equal((out.count("\n"), err), (1, ""), f"lines of {out!r}")
    return json.loads(out)


def who(server):
    return ask(server, "who")["sessions"]


def await_users(server, *users):
    """Until those alone are logged in; their rows by name."""
    def look():
        rows = {row["user"]: row for row in who(server) if row["user"]}
        return rows if sorted(rows) == sorted(users) else None
    return tap.await_(look, lambda: f"{users} in {who(server)}")


def ended(client):
    """The last words of a session that was told to go."""
    line = client.line()
    tap.equal(client.rest(), b"", "octets behind the last words")
    return line


GOODBYE = ("-ERR [SYS/TEMP] the server ends this session, nothing was "
           "deleted")


# ---- who ----

def who_tells_each_session():
    made = tls.context(authority.path)
    with kpopd(listen_pop3s=f"{net.address()}:0",
               tls_certificate=authority.file("server.pem"),
               tls_key=authority.file("server.key")) as server, \
            ApReq(realm, ccache=realm.ccache("alice")) as req:
        tap.equal(who(server), [], "sessions at first")
        with Kpop(server) as first, Pop3(server) as second, \
                tls.Pop3s(server, made) as third, Pop3(server) as fourth:
            first.handshake(req.octets)
            first.login("alice")
            second.ok("STLS")
            tls.secure(second, made)
            second.login("bob")
            await_users(server, "alice", "bob")
            told = who(server)
        tap.equal([row["listener"] for row in told],
                  ["kpop", "pop3", "pop3s", "pop3"], "listeners by age")
        for row in told:
            tap.equal(row["address"], net.address())
            tap.true(re.fullmatch("[0-9a-f]{8,16}", row["session"]), row)
            tap.true(row["age"] >= 0, row)
        tap.equal(
            [(r["user"], r["mechanism"], r["tls"], r["state"]) for r in told],
            [("alice", "KPOP", None, "mail"),
             ("bob", "PLAIN", "TLSv1.3", "mail"),
             (None, None, "TLSv1.3", "login"), (None, None, None, "login")])
        tap.await_(lambda: who(server) == [], "none is left")
        tap.contains(server.log(), f"session={told[0]['session']} ",
                     "the log knows it by the same id")


def who_is_a_table_for_people():
    with kpopd() as server, Pop3(server) as client:
        client.login("bob")
        row = await_users(server, "bob")["bob"]
        code, out, err = kpopctl(server.path, "who", env=server.env)
        tap.equal((code, err), (0, ""))
        lines = [line.split() for line in out.splitlines()]
        tap.equal(lines[0], ["SESSION", "USER", "ADDRESS", "MECHANISM", "TLS",
                             "LISTENER", "AGE", "STATE"])
        tap.equal(len(lines), 2, out)
        age = lines[1].pop(6)
        tap.equal(lines[1], [row["session"], "bob",
                             f"{net.address()}:{row['port']}", "PLAIN", "-",
                             "pop3", "mail"])
        tap.true(re.fullmatch(r"\d+s", age), age)


def killed_worker_takes_its_sessions_from_the_list():
    with kpopd(workers=1) as server, Pop3(server) as client:
        client.login("bob")
        await_users(server, "bob")
        workers = server.children("worker")
        server.kill(workers[0])
        tap.await_(lambda: who(server) == [], "none is left")
        tap.equal(ask(server, "stats")["processes_died"], 1)


# ---- kick ----

def kicked_session_commits_nothing_and_frees_the_maildrop():
    with kpopd() as server, Pop3(server) as client, Pop3(server) as other:
        client.login("alice")
        other.login("bob")
        client.ok("DELE 1")
        row = await_users(server, "alice", "bob")["alice"]
        tap.equal(ask(server, "kick", row["session"]),
                  {"kicked": [{"session": row["session"], "user": "alice",
                               "gone": True}]})
        tap.equal(ended(client), GOODBYE)
        tap.equal(len(Maildir(server, "alice").names()), 2, "messages")
        with Pop3(server) as again:
            again.ok("USER alice")
            again.ok("PASS alice-password")  # not even once [IN-USE]
        other.ok("NOOP")
        uid = os.getuid()
        server.await_log(f"event=session.kicked .*session={row['session']} "
                         f"user=alice uid={uid} ")
        server.await_log(f"event=session.end .*session={row['session']} "
                         ".*reason=stop")
        tap.equal(ask(server, "stats")["kicked"], 1)


def user_is_kicked_by_name_and_nobody_else():
    with kpopd(workers=2) as server, contextlib.ExitStack() as stack:
        clients = {user: stack.enter_context(Pop3(server)).login(user)
                   for user in USERS}
        waiting = stack.enter_context(Pop3(server))
        await_users(server, *USERS)
        code, out, err = kpopctl(server.path, "kick", "carol",
                                 env=server.env)
        tap.equal((code, err), (0, ""))
        tap.true(re.fullmatch(r"session [0-9a-f]+ of carol has ended\n", out),
                 out)
        tap.equal(ended(clients["carol"]), GOODBYE)
        await_users(server, "alice", "bob")
        for client in (clients["alice"], clients["bob"]):
            client.ok("NOOP")
        waiting.ok("CAPA")


def session_before_its_login_can_be_kicked():
    with kpopd() as server, Pop3(server) as client, Kpop(server) as silent:
        rows = tap.await_(lambda: len(who(server)) == 2 and who(server),
                          "both are there")
        for row in rows:
            told = ask(server, "kick", row["session"])["kicked"]
            tap.equal(told, [{"session": row["session"], "user": None,
                              "gone": True}])
        tap.equal(ended(client), "-ERR [SYS/TEMP] the server ends this "
                                 "session, try again later")
        tap.equal(silent.rest(), b"", "words inside a KPOP handshake")


def running_answer_is_finished_first():
    with kpopd() as server, Pop3(server) as client:
        body = "".join(f"{i:078}\n" for i in range(250000))
        Maildir(server, "bob").deliver("Subject: long\n\n" + body,
                                       suffix=".long")
        client.login("bob")
        sizes = [int(line.split()[1]) for line in client.multi("LIST")]
        await_users(server, "bob")
        client.send(f"RETR {sizes.index(max(sizes)) + 1}\r\n".encode())
        client.line()  # from here on the kernel holds only a part of it
        answers = []
        kick = threading.Thread(
            target=lambda: answers.append(ask(server, "kick", "bob")))
        kick.start()
        tap.await_(lambda: [row["state"] for row in who(server)]
                   == ["ending"], "it was told to end")
        text = client.until(b"\r\n.\r\n")
        tap.equal(text.count(b"\r\n"), 250002, "lines of the message")
        tap.equal(ended(client), GOODBYE)
        client.close()
        kick.join()
        tap.equal([k["gone"] for k in answers[0]["kicked"]], [True])


def client_that_takes_nothing_is_cut_off():
    with kpopd() as server, Pop3(server) as client:
        Maildir(server, "bob").deliver("Subject: long\n\n" + "x\n" * 10000000,
                                       suffix=".long")
        client.login("bob")
        sizes = [int(line.split()[1]) for line in client.multi("LIST")]
        long = sizes.index(max(sizes)) + 1
        client.ok(f"DELE {long % 3 + 1}")
        await_users(server, "bob")
        client.send(f"RETR {long}\r\n".encode())
        client.line()
        tap.equal([k["gone"] for k in ask(server, "kick", "bob")["kicked"]],
                  [True])
        tap.equal(len(Maildir(server, "bob").names()), 3, "messages")


def nobody_is_kicked_by_a_wrong_word():
    with kpopd() as server, Pop3(server) as client:
        client.login("bob")
        await_users(server, "bob")
        for word in ("nobody", "bo", "BOB", "0", "bob kick"):
            tap.equal(ask(server, "kick", word, status=1),
                      {"error": "no session has that id or user"})
        for word in ("", "bob\nwho", "bob\x7f", "b" * 600):
            told = ask(server, "kick", word, status=2)
            tap.contains(told["error"], "neither a session nor a user")
        client.ok("NOOP")


# ---- stats ----

def stats_tell_numbers_and_processes():
    with kpopd(max_unauthenticated=1) as server, Pop3(server) as client:
        client.login("bob")
        await_users(server, "bob")
        with Pop3(server) as first, Pop3(server):
            tap.equal(first.rest(), b"", "words to the one that had to go")
            told = ask(server, "stats")
        tap.equal({name: told[name] for name in (
            "sessions_mail", "connections", "evicted", "refused", "kicked",
            "reloads", "processes_died")},
            {"sessions_mail": 1, "connections": 3, "evicted": 1, "refused": 0,
             "kicked": 0, "reloads": 0, "processes_died": 0})
        kinds = [p["process"] for p in told["processes"]]
        tap.equal(sorted(kinds), sorted(
            ["master"] + ["auth-krb", "auth-password", "worker"] * 2))
        for process in told["processes"][1:]:
            tap.contains(server.children(), process["pid"])
        tap.equal(told["processes"][0]["pid"], server.process.pid)
        server.reload()
        server.await_log("event=config.reloaded")
        tap.await_(lambda: ask(server, "stats")["reloads"] == 1, "a reload")
        tap.contains([p["configuration"]
                      for p in ask(server, "stats")["processes"]],
                     "draining", "the old worker, where bob is")
        tap.equal([row["user"] for row in who(server)], ["bob"])
        code, out, err = kpopctl(server.path, "stats", env=server.env)
        tap.equal((code, err), (0, ""))
        tap.true(re.search(r"(?m)^reloads +1$", out), out)


# ---- who may ask ----

def socket_is_its_owners_alone_and_goes_with_kpopd():
    with kpopd() as server:
        st = os.stat(path(server))
        tap.equal((stat.S_ISSOCK(st.st_mode), stat.S_IMODE(st.st_mode),
                   st.st_uid), (True, 0o600, os.getuid()))
    tap.equal(os.path.exists(path(server)), False, "the socket is there")


def asked_as(server, user):
    """kpopctl who of another user."""
    code, out, _ = servers.kpopctl_as(user, server.path, "-j", "who",
                                      env=server.env)
    return code, json.loads(out)["error"]


def others_may_not_ask():
    if os.getuid() != 0:
        raise tap.Skip("only root can be somebody else")
    with kpopd() as server:
        code, error = asked_as(server, "nobody")
        tap.equal(code, DENIED, error)
        tap.contains(error, "only root")
        # Modes may be changed by mistake; the master looks itself.
        os.chmod(path(server), 0o666)
        for user in ("nobody", servers.WORKER_USER, servers.AUTH_USER):
            code, error = asked_as(server, user)
            tap.equal(code, DENIED, error)
            uid = pwd.getpwnam(user).pw_uid
            server.await_log(f"event=control.denied .*uid={uid}\\b")
        tap.equal(who(server), [], "root is still answered")


def false_kpopd_is_not_believed():
    if os.getuid() != 0:
        raise tap.Skip("only root can be somebody else")
    server = kpopd(start=False)
    listener = socket.socket(socket.AF_UNIX)
    entry = pwd.getpwnam(servers.AUTH_USER)
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        listener.bind(path(server))
        listener.listen()  # the kernel keeps who did
    finally:
        os.seteuid(0)
        os.setegid(0)
    with listener:
        told = ask(server, "who", status=DENIED)
        tap.contains(told["error"], "neither root's nor yours")


# ---- answers of a kpopd of another version, or that dies ----

@tap.helper
def answered(octets, *words, reads=True):
    """(status, stdout) of a command that is answered so by a listener of
    ours in the place of kpopd's."""
    server = kpopd(start=False)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path(server))
    listener.listen()

    def serve():
        line, _ = listener.accept()
        with line, listener:
            line.recv(4096, 0 if reads else socket.MSG_PEEK)
            line.sendall(octets)

    thread = threading.Thread(target=serve)
    thread.start()
    code, out, err = kpopctl(server.path, *words, env=server.env)
    thread.join()
    tap.equal(err, "", out)
    return code, out


@tap.helper
def session(number, user="alice", address="192.0.2.1", age=0):
    return (f"session\t{number}\t{user}\t{address}\t99\tKPOP\t\tkpop\t{age}"
            "\tmail\n")


def answers_that_are_none_are_not_believed():
    other = "don't understand each other: restart kpopd after an upgrade"
    half = "kpopd's answer is not whole; try again"
    for status, text, octets in (
            (1, other, b"hello\n"), (1, other, b"kpopd\t0\nend\n"),
            (1, other, b"kpopd\n\nend\n"),
            (1, half, b"kpopd\t1\n"),
            (1, half, b"kpopd\t1\n" + session(1).encode()),
            (1, half, b"kpopd\t1\n" + session(1).encode() + b"end"),
            (DENIED, "let us go without a word", b""),
            (DENIED, "let us go without a word", b"kpopd\t1"),
            (1, "why not", b"kpopd\t1\nerror\twhy not\nend\n")):
        for words in (["who"], ["stats"], ["kick", "bob"]):
            got = answered(octets, *words)
            tap.equal(got[0], status, f"{words} {octets}: {got}")
            tap.contains(got[1], text, f"{words} {octets}")
    # Closed before the request was read: the kernel resets.
    code, out = answered(b"kpopd\t1\nend\n", "who", "-j", reads=False)
    tap.equal((code, json.loads(out)), (0, {"sessions": []}))


def thousands_of_sessions_are_told():
    many = "".join(session(i) for i in range(4000))
    code, out = answered(f"kpopd\t1\n{many}end\n".encode(), "who", "-j")
    told = [int(row["session"]) for row in json.loads(out)["sessions"]]
    tap.equal((code, told), (0, list(range(4000))))


def who_writes_ages_and_addresses_for_people():
    ages = {0: "0s", 59: "59s", 60: "1m00s", 3599: "59m59s", 3600: "1h00m",
            86399: "23h59m", 86400: "1d00h", 8640000: "100d00h"}
    rows = "".join(session(i, "", "2001:db8::1", age)
                   for i, age in enumerate(ages))
    code, out = answered(f"kpopd\t1\n{rows}end\n".encode(), "who")
    lines = [line.split() for line in out.splitlines()]
    tap.equal(code, 0, out)
    tap.equal([(line[1], line[2], line[6]) for line in lines[1:]],
              [("-", "[2001:db8::1]:99", age) for age in ages.values()])


def session_that_stays_is_no_success():
    rows = b"kicked\t1a\talice\tgone\nkicked\t1b\t\there\n"
    octets = b"kpopd\t1\n" + rows + b"end\n"
    tap.equal(answered(octets, "kick", "alice"),
              (1, "session 1a of alice has ended\n"
               "session 1b was told to end and is still there\n"))
    code, out = answered(octets, "kick", "alice", "-j")
    tap.equal((code, [row["gone"] for row in json.loads(out)["kicked"]]),
              (1, [True, False]))


# ---- when there is none ----

def no_kpopd_is_said_so():
    server = kpopd(start=False)
    for command in (["who"], ["stats"], ["kick", "bob"]):
        told = ask(server, *command, status=ABSENT)
        tap.equal(told, {"error": f"no kpopd runs by {server.path}: nobody "
                                  f"listens at {path(server)}"})


def dead_kpopd_is_said_so_and_the_next_one_listens():
    server = kpopd()
    server.process.kill()
    server.stop(status=None)
    tap.equal(os.path.exists(path(server)), True, "the socket is left")
    ask(server, "who", status=ABSENT)
    with server.start():
        tap.equal(who(server), [])


def hung_kpopd_does_not_hang_kpopctl_that_may_end():
    """A connect succeeds as long as the queue has room: SIGINT ends it."""
    with kpopd() as server:
        server.process.send_signal(signal.SIGSTOP)
        try:
            asking = subprocess.Popen(
                [os.path.join(net.BUILD, "kpopctl"), "-c", server.path,
                 "who"], env=server.env, stdout=subprocess.DEVNULL)
            try:
                asking.wait(0.3)
                raise tap.Failure("it had an answer")
            except subprocess.TimeoutExpired:
                asking.send_signal(signal.SIGINT)
            tap.equal(asking.wait(10 * tap.SLOW), -signal.SIGINT)
        finally:
            server.process.send_signal(signal.SIGCONT)
        tap.equal(who(server), [])


# ---- bad manners ----

def talk(server, octets):
    """The raw answer to anything."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20 * tap.SLOW)
        line.connect(path(server))
        answer = b""
        with contextlib.suppress(ConnectionError):
            line.sendall(octets)
            while piece := line.recv(65536):
                answer += piece
        return answer


def nonsense_is_answered_or_let_go():
    with kpopd() as server:
        for octets in (b"who \n", b"WHO\n", b"\n", b"kick\n", b"quit\n"):
            answer = talk(server, octets).decode().splitlines()
            tap.true(answer[0].startswith("kpopd\t1\t"), answer)
            tap.contains(answer[1], "error\tthis kpopd does not know that")
            tap.equal(answer[2:], ["end"])
        for octets in (b"w" * 3000, b"who\0\n" + b"x" * 3000, b"\0" * 2048):
            tap.equal(talk(server, octets), b"")
        tap.equal(who(server), [])


def silent_callers_keep_nobody_out():
    with kpopd() as server, contextlib.ExitStack() as stack:
        for _ in range(20):
            line = stack.enter_context(socket.socket(socket.AF_UNIX))
            line.connect(path(server))
            line.sendall(b"wh")
        tap.equal(who(server), [])
        with Pop3(server) as client:
            client.login("bob")


# ---- where it is ----

def second_kpopd_does_not_take_the_socket_away():
    with kpopd() as server, kpopd(start=False) as other:
        other.configure(state_dir=server.state)
        other.start()
        other.await_log("event=control.fail .*another kpopd")
        tap.equal(ask(server, "stats")["processes"][0]["pid"],
                  server.process.pid)
        other.stop()
        tap.equal(who(server), [])


def reload_takes_the_socket_along():
    with kpopd() as server, Pop3(server) as client:
        client.login("bob")
        await_users(server, "bob")
        old = path(server)
        server.state = os.path.join(server.directory, "other")
        server.configure(state_dir=server.state)
        server.reload()
        server.await_log("event=config.reloaded")
        tap.equal([row["user"] for row in who(server)], ["bob"])
        tap.equal(os.path.exists(old), False, "the old socket is there")
        tap.equal([k["gone"] for k in ask(server, "kick", "bob")["kicked"]],
                  [True], "in a worker of the old configuration")


def long_path_is_said_and_kpopd_serves():
    server = kpopd(start=False)
    server.configure(state_dir=os.path.join(server.directory, "x" * 120))
    with server.start(), Pop3(server) as client:
        client.login("bob")
        server.await_log("event=control.fail .*too long")
        told = ask(server, "who", status=1)
        tap.contains(told["error"], "too long for a socket's path")


tap.main(globals(), before, after)
