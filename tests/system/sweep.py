#!/usr/bin/env python3
# sweep.py - kpopctl's commands while one call of theirs fails, or all from
# there on: each call in turn, memory, files, sockets, Kerberos, TLS.  A command
# ends with a sentence, or as if nothing had been; nothing is left half done.
# KPOP_STRIDE=1 tries each call, not one in some.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import os
import re
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.realm import Realm  # noqa: E402
from harness.server import Kpopd, passwords, secrets  # noqa: E402
from harness.tls import Authority  # noqa: E402

STRIDE = int(os.environ.get("KPOP_STRIDE", "5"))
LIBRARY = os.path.join(net.BUILD, "tests/lib/preload_faults.so")
MEMORY = ("malloc", "calloc", "realloc", "reallocarray", "strdup", "strndup",
          "asprintf")

scratch = tempfile.TemporaryDirectory(prefix="kpop-sweep-")
realm = None
authority = None
kpopd = None


@tap.helper
def before():
    global realm, authority, kpopd
    if os.environ.get("KPOP_CHECKER") in ("asan", "tsan", "valgrind"):
        raise tap.Skip("the checker has an allocator of its own")
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


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


def run(words, at, rest):
    """(status, stdout, stderr, the call that failed)."""
    failed = os.path.join(scratch.name, "failed")
    env = dict(kpopd.env, KRB5CCNAME=realm.ccache("alice"),
               SSL_CERT_FILE=authority.path, LD_PRELOAD=LIBRARY,
               KPOP_TEST_FAILED=failed, KPOP_TEST_FAIL_AT=str(at))
    if rest:
        env["KPOP_TEST_FAIL_ON"] = "1"
    if os.path.exists(failed):
        os.unlink(failed)
    done = subprocess.run(
        [os.path.join(net.BUILD, "kpopctl"), "-c", kpopd.path, *words],
        check=False, text=True, stdin=subprocess.DEVNULL, env=env,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=60 * tap.SLOW)
    call = ""
    if os.path.exists(failed):
        with open(failed, encoding="ascii") as file:
            call = file.readline().strip()
    return done.returncode, done.stdout, done.stderr, call


def same(text):
    """Without what differs from run to run."""
    return re.sub(r"\d+", "0", re.sub(r"<[^>]*>", "<>", text))


def look(words, healthy, got, what):
    status, out, err, call = got
    what = f"{what}: {' '.join(words)}, {call} failed: {status} {out!r} {err!r}"
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


def sweep(*words, rest=False):
    run(words, 0, False)  # the first one may leave an index
    healthy = run(words, 0, False)
    tap.equal(healthy[3], "", "what failed of the first run")
    at, tried, problems = 1, 0, []
    while True:
        got = run(words, at, rest)
        if got[3] == "":
            break
        try:
            look(words, healthy, got, f"call {at}")
        except tap.Failure as problem:
            problems.append(str(problem)[:600])
        at += STRIDE
        tried += 1
    again = run(words, 0, False)
    tap.equal((again[0], same(again[1])), (healthy[0], same(healthy[1])),
              "the same as ever")
    tap.true(tried * STRIDE > 20, f"only {tried} calls")
    tap.show(f"{' '.join(words)}: {tried} of {at - 1} calls")
    tap.equal(problems, [], f"{len(problems)} problems")


def check():
    sweep("check")
    sweep("check", rest=True)


def show_config():
    sweep("show-config")
    sweep("show-config", "--json")


def doctor():
    sweep("doctor")
    sweep("doctor", "--json")


def who_stats_and_kick():
    sweep("who")
    sweep("stats", "--json")
    sweep("kick", "nobody")


def uidl_show():
    sweep("uidl", "show", "alice")



def login_kpop():
    sweep("login", net.host(), "--mech", "KPOP", "--port",
          str(kpopd.ports["kpop"]))


def login_gssapi():
    sweep("login", net.host(), "--mech", "GSSAPI", "--port",
          str(kpopd.ports["pop3"]))


tap.main(globals(), before, after)
