#!/usr/bin/env python3
# sweep.py - kpopctl's commands while one call of theirs fails, each in turn:
# memory, files, sockets, Kerberos, TLS.  A command ends with a sentence, or as
# if nothing had been; nothing is left half done.  The same call made by another
# way through kpopctl is another call; made by the same way again, it is not.
# KPOP_STRIDE=1 tries each call, not one in some.
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

from harness.faults import LIBRARY, MEMORY, Faults  # noqa: E402 (inside)
from harness.maildir import Maildir  # noqa: E402 (the network)
from harness.realm import Realm  # noqa: E402
from harness.server import Kpopd, passwords, secrets  # noqa: E402
from harness.tls import Authority  # noqa: E402

# One in some; gcov is to see all.
STRIDE = int(os.environ.get("KPOP_STRIDE", "3" if tap.PLAIN else "1"))

scratch = tempfile.TemporaryDirectory(prefix="kpop-sweep-")
realm = None
authority = None
kpopd = None
faults = None
cache = None
password = None


@tap.helper
def before():
    global realm, authority, kpopd, faults, cache, password
    faults = Faults(os.path.join(scratch.name, "faults"))
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    authority = Authority(os.path.join(scratch.name, "ca"))
    directory = os.path.join(scratch.name, "kpopd")
    names = ["DNS:" + net.host() if net.is_private()
             else "IP:" + net.address()]
    certificate, key = authority.sign("pop", *names)
    kpopd = Kpopd(directory, realm, listen_pop3=f"{net.address()}:0",
                  listen_pop3s=f"{net.address()}:0",
                  tls_certificate=certificate, tls_key=key,
                  metrics=f"{net.address()}:0",
                  passwords="file:" + passwords(directory, "alice"),
                  secrets="file:" + secrets(directory, "alice"),
                  mechanisms="GSSAPI PLAIN USER CRAM-MD5 APOP SCRAM-SHA-256")
    Maildir(kpopd, "alice").fill(3)
    cache = realm.ccache("alice")
    password = os.path.join(scratch.name, "password")
    with open(password, "w", encoding="ascii") as file:
        file.write("alice-password\n")
    os.chmod(password, 0o600)


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


def run(words, rest=0):
    """(status, stdout, stderr).  rest: the number of a call that fails with
    all behind it."""
    ticket = os.path.join(scratch.name, "ticket")
    shutil.copy(cache, ticket)
    env = dict(kpopd.env, KRB5CCNAME=ticket, SSL_CERT_FILE=authority.path)
    if rest:
        env.update(LD_PRELOAD=LIBRARY, KPOP_TEST_FAIL_AT=str(rest),
                   KPOP_TEST_FAIL_ON="1", KPOP_TEST_FAILED=failed())
    else:
        env.update(faults.env)
        env["LD_PRELOAD"] += ":" + LIBRARY.replace("_faults", "_libraries")
    done = subprocess.run(
        [os.path.join(net.BUILD, "kpopctl"), "-c", kpopd.path, *words],
        check=False, text=True, stdin=subprocess.DEVNULL, env=env,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=60 * tap.SLOW)
    return done.returncode, done.stdout, done.stderr


@tap.helper
def failed():
    return os.path.join(scratch.name, "failed")


def same(text):
    """Without what differs from run to run."""
    return re.sub(r"\d+", "0", re.sub(r"<[^>]*>", "<>", text))


def look(words, healthy, got, call):
    status, out, err = got
    what = f"{call}: {' '.join(words)}: {status} {out!r} {err!r}"
    tap.true(0 <= status <= 6, "is not killed: " + what)
    if status == 0:
        tap.equal(same(out), same(healthy[1]), what)
        return
    said = (out + err).strip()
    tap.true(said != "", "says something: " + what)
    tap.true(all(c.isprintable() or c == "\n" for c in said),
             "is text: " + what)
    if call in MEMORY:
        tap.true("memory" in said, "names the memory: " + what)
    if call == "getpwnam":
        for wrong in ("there is no user", "useradd"):
            tap.lacks(said, wrong, what)


def sweep(*words, stays=None, known=()):
    """Each call of the command fails, but for those that are known already;
    they are returned.  stays: a file that must stay as the first run leaves
    it."""
    def kept():
        if not stays:
            return None
        with open(stays, "rb") as file:
            return file.read()

    run(words)  # the first one may leave an index
    healthy = run(words)
    calls = faults.calls(lambda: run(words))
    tap.true(len(calls) > 10, f"only {len(calls)} calls")
    before_all = kept()
    problems = []
    tried = [call for call in calls if call not in known][::STRIDE]
    for call in tried:
        faults.arm(call)
        got = run(words)
        try:
            if faults.has_failed():
                look(words, healthy, got, call.name)
            tap.equal(kept(), before_all, f"{call.name}: what {stays} has")
        except tap.Failure as problem:
            problems.append(str(problem)[:600])
        faults.heal()
    again = run(words)
    tap.equal((again[0], same(again[1])), (healthy[0], same(healthy[1])),
              "the same as ever")
    tap.show(f"{' '.join(words)}: {len(tried)} of {len(calls)} calls")
    tap.equal(problems, [], f"{len(problems)} problems")
    return calls


def sweep_rest(*words):
    """A call fails, and all behind it."""
    healthy = run(words)
    at, problems = 1, []
    while True:
        if os.path.exists(failed()):
            os.unlink(failed())
        got = run(words, at)
        if not os.path.exists(failed()):
            break
        with open(failed(), encoding="ascii") as file:
            call = file.readline().strip()
        try:
            look(words, healthy, got, call)
        except tap.Failure as problem:
            problems.append(str(problem)[:600])
        at += 5
    tap.true(at > 20, f"only {at} calls")
    tap.equal(problems, [], f"{len(problems)} problems")


def check():
    sweep("check")
    sweep_rest("check")


def show_config():
    known = sweep("show-config")
    sweep("show-config", "--json", known=known)


def doctor():
    known = sweep("doctor")
    sweep("doctor", "--json", known=known)


def who_stats_and_kick():
    sweep("who")
    sweep("stats", "--json")
    sweep("kick", "nobody")


def uidl_show():
    sweep("uidl", "show", "alice")


def uidl_import():
    """All of it is imported, or what was before is there as it was."""
    box = Maildir(kpopd, "alice")
    names = sorted(os.listdir(os.path.join(box.path, "cur"))
                   + os.listdir(os.path.join(box.path, "new")))
    names = [name.partition(":")[0] for name in names]
    known = []
    for form, text in (
            ("map", "".join(f"{name},map-{i}\n"
                            for i, name in enumerate(names))),
            ("map", "<none@x>,a\nsha256:" + "0" * 64 + f",b\n{names[0]},c\n"),
            ("map", f"{names[0]},a b\n"),
            ("dovecot", "3 V9 N9\n" + "".join(
                f"{i + 1} :{name}\n" for i, name in enumerate(names))),
            ("x-uidl", None)):
        more = []
        if text is not None:
            path = os.path.join(scratch.name, form)
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            os.chmod(path, 0o644)
            more = ["--input", path]
        if form == "dovecot":
            more += ["--format", "%Mf"]
        known += sweep("uidl", "import", "alice", "--from", form, "--replace",
                       *more, known=known, stays=os.path.join(
                           kpopd.state, "uidl", "alice"))


@tap.helper
def login(mechanism, service, *more):
    sweep("login", net.host(), "--mech", mechanism, "--port",
          str(kpopd.ports[service]), *more)


def login_kpop():
    login("KPOP", "kpop")


def login_gssapi():
    login("GSSAPI", "pop3")


def login_with_passwords():
    mine = ("-u", "alice", "-P", password)
    login("PLAIN", "pop3s", "--pop3s", "-P", password)
    for mechanism in ("USER", "SCRAM-SHA-256", "CRAM-MD5", "APOP"):
        login(mechanism, "pop3", *mine)


tap.main(globals(), before, after)
