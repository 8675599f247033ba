#!/usr/bin/env python3
# sweep_kpopd.py - kpopd while one call of its processes fails, each in turn:
# memory, files, sockets, rights.  It ends with a sentence, or serves; a
# session ends in good order, and the next one works.  Nothing crashes or hangs,
# no password is right that is wrong, nothing is deleted in secret.
# KPOP_STRIDE=1 tries each call, not one in some.
# TIME-LIMIT: 600
#
# SPDX-License-Identifier: MIT
import contextlib
import os
import re
import struct
import tempfile
import urllib.error
import urllib.request

from harness import net, tap

net.enter()

from harness import sasl, tls  # noqa: E402 (inside the network)
from harness.faults import MEMORY, Faults  # noqa: E402
from harness.maildir import Maildir  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import (WORKER_USER, Kpopd, give, kpopctl,  # noqa: E402
                            passwords, secrets)
from harness.wire import Kpop, Line, frame  # noqa: E402

# gcov is to see all of it.
STRIDE = int(os.environ.get("KPOP_STRIDE", "6" if tap.PLAIN else "1"))
SESSION_STRIDE = 1 + STRIDE // 3  # they take less time
CLOSED = "closed"

scratch = tempfile.TemporaryDirectory(prefix="kpop-sweep-kpopd-")
realm = None
authority = None
faults = None
kpopd = None
maildir = None
header = b""  # of the PROXY protocol


@tap.helper
def before():
    global realm, authority, faults, kpopd, maildir
    faults = Faults(os.path.join(scratch.name, "faults"))
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    authority = tls.Authority(os.path.join(scratch.name, "ca"))
    authority.sign("server", "DNS:localhost")
    give(authority.directory, WORKER_USER)
    here = f"{net.address()}:0"
    kpopd = server("kpopd", listen_pop3s=here, metrics=here,
                   tls_certificate=authority.file("server.pem"),
                   tls_key=authority.file("server.key"))
    maildir = Maildir(kpopd, "alice").fill(3)


def server(name, **keys):
    directory = os.path.join(scratch.name, name)
    return Kpopd(directory, realm, env=faults.env, workers=1,
                 auth_processes=1, auth_timeout=2 * tap.SLOW,
                 worker_timeout=4, listen_pop3=f"{net.address()}:0",
                 plaintext="always",
                 passwords="file:" + passwords(directory, "alice"),
                 secrets="file:" + secrets(directory, "alice"),
                 mechanisms="GSSAPI PLAIN USER CRAM-MD5 APOP SCRAM-SHA-256",
                 **keys)


@contextlib.contextmanager
def another(name, head=b"", **keys):
    """Another kpopd is the one that is looked at."""
    global kpopd, maildir, header
    old = kpopd, maildir, header
    kpopd = server(name, **keys)
    try:
        maildir = Maildir(kpopd, "alice").fill(3)
        header = head
        yield
        kpopd.stop()
    finally:
        faults.heal()
        kpopd.stop(status=None)
        kpopd, maildir, header = old


@tap.helper
def after():
    if kpopd:
        faults.heal()
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


# ---- sessions: each returns what the client was told ----

def told(session):
    """First words of the answers; CLOSED behind the last one when the server
    hung up before the client had said QUIT."""
    answers = []
    try:
        session(answers)
    except tap.Failure as problem:
        if not str(problem).startswith("closed early"):
            raise
        answers.append(CLOSED)
    except TimeoutError:
        raise
    except OSError:  # TLS tells the same in many ways
        answers.append(CLOSED)
    return answers


class Pop3(Line):
    """A connection to the pop3 listener, by a proxy if there is one."""

    def __init__(self):
        super().__init__(kpopd.ports["pop3"])
        self.send(header)
        self.greeting = self.line()


def mail(client, answers, *more):
    """What follows a login."""
    for command in ("STAT", *more, "UIDL", "RETR 1", "QUIT"):
        answers.append(client.command(command)[:4])
        if answers[-1] == "+OK " and command not in ("STAT", "QUIT"):
            answers.append(len(client.lines()))
        elif answers[-1] == "-ERR" and command == "STAT":
            return
    client.rest()


def pop3(way, *words, more=()):
    def session(answers):
        with Pop3() as client:
            answers.append(client.greeting[:4])
            answer, _ = sasl.run(client, way(client, *words))
            answers.append((answer or "")[:4])
            mail(client, answers, *more)
    return session


def apop_if_offered(client, user, password):
    if "<" in client.greeting:
        yield from sasl.apop(client, user, password)


def stls(answers):
    made = tls.context(authority.path)
    with Pop3() as client:
        answers.append(client.greeting[:4])
        answers.append(client.command("STLS")[:4])
        if answers[-1] != "+OK ":
            return
        tls.secure(client, made)
        answer, _ = sasl.run(client, sasl.user_pass(client, "alice",
                                                    "alice-password"))
        answers.append(answer[:4])
        mail(client, answers)


def pop3s(answers):
    with tls.Pop3s(kpopd, tls.context(authority.path)) as client:
        answers.append(client.greeting[:4])
        answer, _ = sasl.run(client, sasl.user_pass(client, "alice",
                                                    "alice-password"))
        answers.append(answer[:4])
        mail(client, answers)


def kpop(request):
    def session(answers):
        request.again()
        with Kpop(kpopd) as client:
            client.versions()
            client.send(frame(request.octets))
            status = client.read(4)
            if status != b"\0\0\0\0":
                client.read(struct.unpack(">I", status)[0])
                answers.append("KRB_ERROR")
                return
            answers.append(client.line()[:4])
            answers.append(client.login("alice")[:4])
            mail(client, answers)
    return session


# ---- one call after the other ----

def serves(messages=3):
    """A session, perhaps when what has failed was replaced."""
    def attempt():
        with Pop3() as client:
            client.ok("USER alice")
            answer = client.command("PASS alice-password")
            if re.match(r"-ERR \[(IN-USE|SYS/TEMP)\]", answer):
                return False
            tap.true(answer.startswith("+OK"), f"PASS: {answer}")
            tap.equal(len(client.multi("UIDL")), messages, "messages")
            client.ok("QUIT")
            client.rest()
            return True
    tap.await_(attempt, lambda: f"a login works\n{kpopd.log()[-3000:]}")


def nobody_crashed(log):
    """The master itself kills (9) whom it can't watch."""
    tap.true(not re.search(r"signal=(?!9 )|crashed", log), f"a crash\n{log}")


def session_ended(since):
    if "event=session.start" in kpopd.log(since):
        kpopd.await_log(r"event=session\.end", since)


def is_said(since, answers):
    """To the client or in the log, where its end comes last."""
    session_ended(since)
    return ("-ERR" in answers or "KRB_ERROR" in answers
            or re.search("level=(error|warning)|reason=no-memory|tls.fail",
                         kpopd.log(since)))


def look(call, healthy, session):
    """One session while the call fails."""
    mark = kpopd.mark()
    faults.arm(call)
    got = told(session)
    failed = faults.has_failed()
    faults.heal()
    log = kpopd.log(mark)
    nobody_crashed(log)
    # A connection that breaks is nobody's fault; and nothing that was asked
    # for is missing but a good-bye.
    if (got not in (healthy, healthy[:-1] + [CLOSED])
            and call.name not in ("recv", "send")):
        tap.true(is_said(mark, got), f"says something: {got}\n{log}")
    serves()
    return failed


def sweep(session):
    serves()
    told(session)  # the first one may leave an index
    mark = kpopd.mark()
    healthy = told(session)
    tap.true("-ERR" not in healthy and CLOSED not in healthy,
             f"works without a fault: {healthy}\n{kpopd.log(mark)}")
    each(faults.calls(lambda: told(session))[::SESSION_STRIDE],
         lambda call: look(call, healthy, session))
    tap.equal(told(session), healthy, "the same as ever")


def each(calls, attempt, fewest=15):
    met, problems = 0, []
    for call in calls:
        try:
            met += bool(attempt(call))
        except tap.Failure as problem:
            problems.append(f"{call.name} failed: {problem}"[:1500])
            faults.heal()
    tap.show(f"{met} of {len(calls)} calls failed")
    tap.true(met * 2 > len(calls) and met >= fewest,
             f"only {met} of {len(calls)} calls failed")
    tap.equal(problems, [], f"{len(problems)} problems")


# ---- the processes ----

def is_sentence(call, text):
    text = text.strip()
    tap.true(text != "", "says something")
    # libkrb5 has codes of its own for that.
    if call.name in MEMORY and "Kerberos library: " not in text:
        tap.contains(text, "memory", "what it says")
    if call.name == "getpwnam":
        tap.lacks(text, "there is no user", "what it says")


def start_without(call):
    """It ends with status 1 and says why, or serves."""
    mark = kpopd.mark()
    faults.arm(call)
    kpopd.spawn()
    try:
        tap.await_(lambda: kpopd.process.poll() is not None
                   or "event=process.ready" in kpopd.log(mark),
                   lambda: f"ready or ended\n{kpopd.log(mark)}", 20)
        failed = faults.has_failed()
        faults.heal()
        if kpopd.process.poll() is None:
            find_ports(mark)
            serves()
            kpopd.stop()
        else:
            tap.equal(kpopd.process.returncode, 1,
                      f"status\n{kpopd.log(mark)}")
            is_sentence(call, kpopd.log(mark))
        nobody_crashed(kpopd.log(mark))
    finally:
        faults.heal()
        kpopd.stop(status=None)
    return failed


def find_ports(mark):
    for service, port in re.findall(
            r"event=process\.listen .*service=(\w+) .*port=(\d+)",
            kpopd.log(mark)):
        kpopd.ports[service] = int(port)


def start_ends_with_a_sentence_or_serves():
    kpopd.stop()
    try:
        calls = faults.calls(kpopd.start)
        kpopd.stop()
        each(calls[::STRIDE], start_without)
    finally:
        kpopd.start()


def reload_without(call):
    """The new configuration is taken, or refused with a sentence."""
    mark = kpopd.mark()
    faults.arm(call)
    kpopd.reload()
    kpopd.await_log(r"event=(config\.refused|process\.ready)", mark, 20)
    failed = faults.has_failed()
    faults.heal()
    log = kpopd.log(mark)
    nobody_crashed(log)
    if "config.refused" in log:
        is_sentence(call, re.search("config.refused.*", log).group())
    serves()
    return failed


@tap.helper
def reload():
    mark = kpopd.mark()
    kpopd.reload()
    kpopd.await_log(r"event=process\.ready", mark, 20)


def reload_is_taken_or_refused_with_a_sentence():
    each(faults.calls(reload)[::STRIDE], reload_without)


# ---- what clients do ----

def user_and_pass():
    sweep(pop3(sasl.user_pass, "alice", "alice-password"))


def auth_plain():
    sweep(pop3(sasl.plain, "alice", "alice-password"))


def apop():
    sweep(pop3(apop_if_offered, "alice", "alice-password"))


def cram_md5():
    sweep(pop3(sasl.cram, "alice", "alice-password"))


def scram_sha_256():
    sweep(pop3(sasl.scram, "alice", "alice-password"))


def gssapi():
    gss = sasl.Gss(realm, realm.ccache("alice"))
    sweep(pop3(lambda client: sasl.gssapi(client, gss.reset())))
    gss.close()


def kpop_with_a_ticket():
    with ApReq(realm, ccache=realm.ccache("alice")) as request:
        sweep(kpop(request))


def tls_by_stls_and_at_once():
    sweep(stls)
    sweep(pop3s)


def mail_that_is_marked_and_expires_behind_a_proxy():
    with another("proxied", b"PROXY TCP4 192.0.2.1 127.0.0.1 9 110\r\n",
                 haproxy_trusted_networks="127.0.0.0/8",
                 haproxy_services="pop3", retr_sets_seen="yes", expire="30",
                 login_delay="0", sdps="yes"):
        sweep(pop3(sasl.user_pass, "alice", "alice-password",
                   more=("*ENV 1", "TOP 2 1", "LIST")))


def gssapi_with_layers():
    with another("layers", max_ssf=256):
        gss = sasl.Gss(realm, realm.ccache("alice"))
        sweep(pop3(lambda client: sasl.gssapi(client, gss.reset())))
        gss.close()


def a_wrong_password_stays_wrong():
    """Whatever fails while it is looked at."""
    for way in (sasl.plain, apop_if_offered, sasl.cram, sasl.scram):
        session = pop3(way, "alice", "another")
        refused = told(session)
        tap.equal(refused[-1], "-ERR", f"{way.__name__} of a wrong password")

        def look_out(call, session=session):
            faults.arm(call)
            got = told(session)
            failed = faults.has_failed()
            faults.heal()
            tap.true(got[-1] in ("-ERR", CLOSED) and len(got) <= len(refused),
                     f"nobody gets in: {got}")
            nobody_crashed(kpopd.log()[-3000:])
            serves()
            return failed
        # One that is refused opens no maildrop and makes few: more of them.
        each(faults.calls(lambda: told(session))[::max(SESSION_STRIDE - 1, 1)],
             look_out)


def delete_one(answers):
    with Pop3() as client:
        sasl.run(client, sasl.user_pass(client, "alice", "alice-password"))
        answers.append(client.command("DELE 1")[:4])
        answers.append(client.command("QUIT")[:4])
        client.rest()


def what_quit_calls_deleted_is_deleted():
    def without(call):
        before_it = maildir.names()
        tap.equal(len(before_it), 3, "messages")
        mark = kpopd.mark()
        faults.arm(call)
        got = told(delete_one)
        failed = faults.has_failed()
        faults.heal()
        session_ended(mark)
        gone = len(before_it) - len(maildir.names())
        serves(3 - gone)
        if got == ["+OK ", "+OK "]:
            tap.equal(gone, 1, f"deleted, at {got}")
        elif "+OK " not in got[:1]:
            tap.equal(gone, 0, f"deleted, at {got}")
        tap.true(gone in (0, 1), f"{gone} messages are gone")
        for _ in range(gone):
            maildir.fill(1)
        nobody_crashed(kpopd.log()[-3000:])
        return failed
    calls = faults.calls(lambda: told(delete_one))
    tap.equal(len(maildir.names()), 2, "messages")
    maildir.fill(1)
    each(calls, without)


def scrape(answers):
    url = f"http://{net.address()}:{kpopd.ports['metrics']}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=10 * tap.SLOW) as answer:
            answers.append(b"kpop_sessions" in answer.read())
    except urllib.error.HTTPError as error:
        answers.append(error.code)
        error.close()


def metrics_are_told_or_refused():
    def without(call):
        faults.arm(call)
        told(scrape)
        failed = faults.has_failed()
        faults.heal()
        nobody_crashed(kpopd.log()[-3000:])
        tap.await_(lambda: told(scrape) == [True], "metrics again")
        return failed
    each(faults.calls(lambda: told(scrape)), without, 5)


def kpopctl_has_an_answer_or_a_sentence():
    def run(words):
        return kpopctl(kpopd.path, *words)

    def without(call, words):
        faults.arm(call)
        status, out, err = run(words)
        failed = faults.has_failed()
        faults.heal()
        nobody_crashed(kpopd.log()[-3000:])
        tap.true(status == 0 or (out + err).strip() != "", f"says {status}")
        tap.equal(run(words)[0], 0, "status afterwards")
        return failed
    for words in (("who",), ("stats", "--json")):
        each(faults.calls(lambda words=words: run(words)),
             lambda call, words=words: without(call, words), 5)


def stop_is_orderly():
    def stop_without(call):
        faults.arm(call)
        kpopd.stop()  # it looks at the status
        failed = faults.has_failed()
        faults.heal()
        kpopd.start()
        return failed
    calls = faults.calls(kpopd.stop)
    kpopd.start()
    each(calls, stop_without, 5)


tap.main(globals(), before, after)
