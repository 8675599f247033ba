#!/usr/bin/env python3
# passwords.py - where kpopd learns whether a password is right: PAM,
# saslauthd, files; locked accounts; who may act for others; what one that
# hangs does not stop.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import base64
import contextlib
import hashlib
import hmac
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import AUTH_USER, Kpopd, check, own  # noqa: E402
from harness.server import passwords  # noqa: E402
from harness.wire import Kpop, Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-logins-")
realm = None
pam_d = None
counter = 0

USERS = ("alice", "bob", "carol", "fred")


@tap.helper
def before():
    global realm, pam_d
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    pam_d = os.path.join(scratch.name, "pam.d")
    os.mkdir(pam_d, 0o755)
    if net.is_private():
        subprocess.run(["mount", "--bind", pam_d, "/etc/pam.d"], check=True)
    else:
        os.environ["LD_PRELOAD"] = os.path.join(net.BUILD,
                                                "tests/lib/preload_pam.so")
        os.environ["KPOP_TEST_PAM_D"] = pam_d


@tap.helper
def after():
    if realm:
        realm.stop()
    if pam_d and net.is_private():
        subprocess.run(["umount", "/etc/pam.d"], check=True)
    scratch.cleanup()


@tap.helper
def place():
    global counter
    counter += 1
    return os.path.join(scratch.name, f"kpopd{counter}")


def kpopd(realm_=None, **keys):
    """A server with a maildir for each user."""
    keys.setdefault("plaintext", "always")
    keys.setdefault("listen_pop3", f"{net.address()}:0")
    keys.setdefault("listen_kpop", "")
    server = Kpopd(place(), realm_ or realm, start=False, **keys)
    for user in USERS:
        Maildir(server, user).fill(1)
    return server


def service(name, *lines):
    """A service of PAM; returns the value for `passwords`."""
    with open(os.path.join(pam_d, name), "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
    return "pam:" + name


def module(name):
    """Modules may be another package's."""
    for folder in ("/usr/lib", "/lib"):
        for path, _, files in os.walk(folder):
            if path.endswith("/security") and name in files:
                return name
    raise tap.Skip(f"{name} is not installed")


def attempt(server, user, password):
    """What PASS was answered."""
    with Pop3(server) as client:
        client.ok(f"USER {user}")
        return client.command(f"PASS {password}")


def gets_in(server, user, password):
    answer = once_free(lambda server: attempt(server, user, password),
                       server)
    tap.true(answer.startswith("+OK"), f"{user}: {answer}\n{server.log()}")


def refused(server, user, password, *patterns):
    """With [AUTH], and the log says this."""
    mark = server.mark()
    answer = attempt(server, user, password)
    tap.true(answer.startswith("-ERR [AUTH]"),
             f"{user}: {answer}\n{server.log(mark)}")
    for pattern in patterns:
        server.await_log(pattern, mark)


def troubled(server, user, password, *patterns):
    """With [SYS/TEMP], and the log says this."""
    mark = server.mark()
    answer = attempt(server, user, password)
    tap.true(answer.startswith("-ERR [SYS/TEMP]"),
             f"{user}: {answer}\n{server.log(mark)}")
    for pattern in patterns:
        server.await_log(pattern, mark)


def kadmin(command):
    subprocess.run(["sh", os.path.join(net.ROOT, "tests/lib/realm.sh"),
                    "admin", realm.directory], input=command + "\n",
                   text=True, check=True, stdout=subprocess.PIPE,
                   stderr=subprocess.STDOUT)


def script(name, text):
    path = os.path.join(scratch.name, name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, 0o755)
    return path


def world_folder(name):
    path = os.path.join(scratch.name, name)
    os.mkdir(path)
    os.chmod(path, 0o1777)
    return path


# ---- PAM ----

def pam_krb5_asks_the_kdc():
    krb5 = module("pam_krb5.so")
    options = "minimum_uid=0 no_ccache ignore_k5login"
    with kpopd(passwords=service("krb5", f"auth required {krb5} {options}",
                                 f"account required {krb5} {options}")
               ).start() as server:
        gets_in(server, "alice", "alice-password")
        refused(server, "alice", "bob-password",
                r"event=auth\.reason .*peer=127\.\S+ claimed=alice "
                r'reason="pam_authenticate: ',
                r"event=auth\.fail .*claimed=alice")
        refused(server, "nobody", "nobody-password")
        refused(server, "carol/admin", "carol/admin-password",
                r"event=auth\.reason .*none of a mailbox")
        kadmin("modprinc -pwexpire 2020-01-01 bob")
        refused(server, "bob", "bob-password",
                r"event=auth\.reason .*asked for more than the password")
        refused(server, "bob", "bob-password")
        kadmin("modprinc -pwexpire never bob")
        gets_in(server, "bob", "bob-password")
        kadmin("modprinc -allow_tix bob")
        refused(server, "bob", "bob-password")
        kadmin("modprinc +allow_tix bob")
        tap.lacks(server.log(), "-password")


def pam_krb5_without_a_kdc_is_no_wrong_password():
    krb5 = module("pam_krb5.so")
    options = "minimum_uid=0 no_ccache ignore_k5login"
    other = Realm(os.path.join(scratch.name, "gone"))
    with kpopd(realm_=other, passwords=service(
            "gone", f"auth required {krb5} {options}",
            f"account required {krb5} {options}")).start() as server:
        gets_in(server, "alice", "alice-password")
        other.stop()
        troubled(server, "alice", "alice-password",
                 r"event=auth\.passwords level=error .*pam_authenticate")


def pam_account_phase_counts():
    debug = module("pam_debug.so")
    permit = "auth required pam_permit.so"
    for answer in ("acct_expired", "new_authtok_reqd", "perm_denied",
                   "user_unknown", "auth_err"):
        with kpopd(passwords=service(
                "account", permit, f"account required {debug} acct={answer}")
                ).start() as server:
            refused(server, "alice", "x",
                    r"event=auth\.reason .*pam_acct_mgmt: ")


def pam_in_trouble_is_no_wrong_password():
    debug = module("pam_debug.so")
    for answer in ("authinfo_unavail", "system_err", "service_err"):
        with kpopd(passwords=service("trouble",
                                     f"auth required {debug} auth={answer}",
                                     "account required pam_permit.so")
                   ).start() as server:
            troubled(server, "alice", "x",
                     r"event=auth\.passwords level=error .*pam_authenticate")
    with kpopd(passwords=service("trouble", "auth required pam_none.so",
                                 "account required pam_none.so")
               ).start() as server:
        troubled(server, "alice", "x", r"event=auth\.passwords level=error")


def pam_knows_peer_and_user_and_gets_the_password():
    told = world_folder("told")
    program = script("tell", f"""#!/bin/sh
{{ echo "$PAM_TYPE $PAM_USER $PAM_RHOST $PAM_SERVICE $PAM_TTY"
  [ "$PAM_TYPE" = account ] || tr -d '\\0'; }} >"{told}/$PAM_TYPE"
grep SigIgn /proc/$$/status >"{told}/signals"
""")
    with kpopd(passwords=service(
            "tell", f"auth required pam_exec.so expose_authtok {program}",
            f"account required pam_exec.so {program}")).start() as server:
        gets_in(server, "alice", "two words ")
    said = {}
    for name in os.listdir(told):
        with open(os.path.join(told, name), encoding="ascii") as file:
            said[name] = file.read()
    where = "127.0.0.1"  # clients have it, wherever kpopd listens in 127/8
    # SIGHUP, SIGINT, SIGPIPE, SIGTERM: its own, not what kpopd made of them.
    ignored = int(said.pop("signals").split()[1], 16)
    tap.equal(ignored & (1 << 0 | 1 << 1 | 1 << 12 | 1 << 14), 0,
              "ignored signals")
    tap.equal(said, {
        "auth": f"auth alice {where} tell kpopd\ntwo words ",
        "account": f"account alice {where} tell kpopd\n"}, "what PAM knew")


def pam_delays_hold_nobody_up():
    delay = module("pam_faildelay.so")
    with kpopd(auth_processes=1, auth_timeout=60, passwords=service(
            "delay", f"auth optional {delay} delay=20000000",
            "auth required pam_deny.so",
            "account required pam_permit.so")).start() as server:
        start = time.monotonic()
        refused(server, "alice", "x")
        refused(server, "alice", "x")
        took = time.monotonic() - start
        tap.true(took < 10 * tap.SLOW, f"two failures took {took:.1f} s")


class Hang:
    """A service of PAM that waits for a FIFO when the user is alice."""

    def __init__(self):
        self.folder = world_folder(f"hang{counter}")
        self.fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(self.fifo)
        program = script(f"hang{counter}.sh", f"""#!/bin/sh
[ "$PAM_USER" = alice ] || exit 0
echo $$ >"{self.folder}/pid.new"
mv "{self.folder}/pid.new" "{self.folder}/pid"
read line <"{self.fifo}"
""")
        self.value = service("hang", f"auth required pam_exec.so {program}",
                             "account required pam_permit.so")

    def await_pid(self):
        path = os.path.join(self.folder, "pid")
        tap.await_(lambda: os.path.exists(path), "PAM hangs")
        with open(path, encoding="ascii") as file:
            return int(file.read())


def is_there(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def pam_that_hangs_stops_its_own_login_only():
    hang = Hang()
    with kpopd(passwords=hang.value, auth_timeout=2,
               listen_kpop=f"{net.address()}:0").start() as server, \
            Pop3(server) as stuck:
        old = server.children("auth-outside")
        stuck.ok("USER alice")
        stuck.send(b"PASS x\r\n")
        pid = hang.await_pid()
        gets_in(server, "bob", "x")
        env = dict(realm.env, KRB5CCNAME=realm.ccache("carol"))
        with ticket(env) as request, Kpop(server) as client:
            client.handshake(request.octets)
            tap.contains(client.login("carol"), "+OK")
        tap.contains(stuck.line(), "-ERR [SYS/TEMP]")
        server.await_log(r"event=process\.hung .*kind=auth-outside")
        tap.await_(lambda: not is_there(pid), "the module's helper is gone")
        tap.await_(lambda: len(server.children("auth-outside")) == len(old),
                   "the process is replaced")
        tap.equal(len(set(server.children("auth-outside")) & set(old)), 1,
                  "processes that went on")
        gets_in(server, "bob", "x")


@contextlib.contextmanager
def ticket(env):
    before_env = dict(realm.env)
    realm.env.update(env)
    try:
        with ApReq(realm) as request:
            yield request
    finally:
        realm.env.clear()
        realm.env.update(before_env)


def pam_without_its_service_is_a_mistake():
    service("there", "auth required pam_permit.so")
    server = kpopd(passwords="pam:missing")
    status, output = check(server.path, server.env)
    tap.equal(status, 1, output)
    tap.contains(output, "passwords: there is no /etc/pam.d/missing")
    for value in ("pam:", "pam:../x", "pam:Upper", "pam:.x", "ldap:x"):
        server.configure(passwords=value)
        status, output = check(server.path, server.env)
        tap.equal(status, 1, output)
        tap.contains(output, "passwords: write file:PATH, pam:SERVICE or")


def half_a_login_costs_nothing_when_its_client_goes():
    """The process goes on; the answer belongs to nobody."""
    hang = Hang()
    with kpopd(passwords=hang.value, auth_timeout=60,
               auth_processes=1).start() as server:
        with Pop3(server) as client:
            client.ok("USER alice")
            client.send(b"PASS x\r\n")
            hang.await_pid()
        with open(hang.fifo, "w", encoding="ascii") as fifo:
            fifo.write("go on\n")
        gets_in(server, "bob", "x")


def pam_service_that_vanishes_lets_nobody_in():
    """PAM would go by its service "other"."""
    lines = ("auth required pam_permit.so", "account required pam_permit.so")
    service("other", *lines)
    try:
        with kpopd(passwords=service("gone", *lines)).start() as server:
            gets_in(server, "alice", "x")
            os.unlink(os.path.join(pam_d, "gone"))
            troubled(server, "bob", "x", r"event=auth\.passwords level=error "
                     r".*there is no /etc/pam\.d/gone")
            service("gone", *lines)
            gets_in(server, "bob", "x")
    finally:
        os.unlink(os.path.join(pam_d, "other"))


# ---- saslauthd ----

class Saslauthd:
    """The real one, on a socket of its own."""

    def __init__(self, how, *options, **env):
        self.folder = os.path.join(scratch.name, f"mux{counter}")
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o755)
        self.socket = os.path.join(self.folder, "mux")
        self.words = [found("saslauthd"), "-d", "-a", how, "-m", self.folder,
                      "-n", "1", *options]
        self.env = dict(os.environ, **env)
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.words, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        tap.await_(self._listens, "saslauthd listens")
        os.chmod(self.socket, 0o777)

    def _listens(self):
        """The socket is there some time before somebody listens at it."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.socket) == 0

    def signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def found(program):
    path = shutil.which(program, path=net.PATH)
    if not path:
        raise tap.Skip(f"{program} is not installed")
    return path


def saslauthd_says_who_gets_in():
    krb5 = module("pam_krb5.so")
    options = "minimum_uid=0 no_ccache ignore_k5login"
    service("pop", f"auth required {krb5} {options}",
            f"account required {krb5} {options}")
    with Saslauthd("pam", **realm.env) as daemon, \
            kpopd(passwords=f"saslauthd:{daemon.socket}").start() as server:
        gets_in(server, "alice", "alice-password")
        refused(server, "alice", "bob-password")
        refused(server, "nobody", "nobody-password")
        refused(server, " alice", "alice-password")
        refused(server, "alice@EXAMPLE.ORG", "alice-password",
                "none of a mailbox")
        gets_in(server, "bob", "bob-password")
        daemon.stop()
        troubled(server, "alice", "alice-password",
                 r"event=auth\.passwords level=error .*saslauthd at "
                 + re.escape(daemon.socket) + ".*cannot connect")
        daemon.start()
        gets_in(server, "alice", "alice-password")


def saslauthd_is_not_asked_about_realms():
    """It ignores them, so alice's password would be that of many users."""
    domains = os.path.join(scratch.name, "domains")
    os.makedirs(domains)
    service("pop", "auth required pam_permit.so",
            "account required pam_permit.so")
    with Saslauthd("pam") as daemon, \
            kpopd(passwords=f"saslauthd:{daemon.socket}",
                  store=f"maildir:{domains}/%d/%u").start() as server:
        for realm_name in ("a.org", "b.org", net.host()):
            refused(server, "alice@" + realm_name, "x")


def saslauthd_that_hangs_stops_its_own_logins_only():
    service("pop", "auth required pam_permit.so",
            "account required pam_permit.so")
    with Saslauthd("pam") as daemon, \
            kpopd(passwords=f"saslauthd:{daemon.socket}", auth_timeout=1,
                  auth_processes=1, mechanisms="USER APOP",
                  secrets="file:" + secrets("alice:wonderland")
                  ).start() as server:
        gets_in(server, "bob", "x")
        daemon.signal(signal.SIGSTOP)
        with Pop3(server) as stuck:
            stuck.ok("USER bob")
            stuck.send(b"PASS x\r\n")
            tap.contains(apop(server, "alice", "wonderland"), "+OK")
            tap.contains(stuck.line(), "-ERR [SYS/TEMP]")
        server.await_log(r"event=process\.hung .*kind=auth-outside")
        daemon.signal(signal.SIGCONT)
        tap.await_(lambda: attempt(server, "bob", "x").startswith("+OK"),
                   "saslauthd is asked again")


def saslauthd_that_hangs_up_leaves_no_descriptor():
    """One that takes requests and answers nothing."""
    path = os.path.join(world_folder("mute"), "mux")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(path)
        os.chmod(path, 0o777)
        mute.listen(10)
        stop = threading.Event()

        def hang_up():
            while not stop.is_set():
                with contextlib.suppress(socket.timeout):
                    mute.accept()[0].close()

        mute.settimeout(0.2)
        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            with kpopd(passwords="saslauthd:" + path, auth_processes=1
                       ).start() as server:
                troubled(server, "alice", "x",
                         r"event=auth\.passwords .*saslauthd at " + path)
                process, = server.children("auth-outside")
                before_count = len(os.listdir(f"/proc/{process}/fd"))
                for _ in range(20):
                    troubled(server, "alice", "x")
                tap.equal(len(os.listdir(f"/proc/{process}/fd")),
                          before_count, "descriptors")
        finally:
            stop.set()
            thread.join()


# ---- secrets ----

def secrets(*lines, path=None):
    path = path or os.path.join(scratch.name, f"secrets{counter}")
    with open(path, "w", encoding="ascii") as file:
        file.write("".join(line + "\n" for line in lines))
    os.chmod(path, 0o600)
    if os.getuid() == 0:
        own(path, AUTH_USER)
    return path


def apop(server, user, secret):
    with Pop3(server) as client:
        banner = re.search("<.*>", client.greeting).group()
        digest = hashlib.md5((banner + secret).encode()).hexdigest()
        return client.command(f"APOP {user} {digest}")


def cram(server, user, secret):
    with Pop3(server) as client:
        challenge = base64.b64decode(client.command("AUTH CRAM-MD5")[2:])
        digest = hmac.new(secret.encode(), challenge, "md5").hexdigest()
        return client.command(
            base64.b64encode(f"{user} {digest}".encode()).decode())


def scram(server, user, secret, name="SCRAM-SHA-256"):
    """The answer to the client's last word (RFC 5802 section 3)."""
    method = name[6:].replace("-", "").lower()

    def mac(key, text):
        return hmac.new(key, text.encode(), method).digest()

    def say(client, text):
        return client.command(base64.b64encode(text.encode()).decode())

    with Pop3(server) as client:
        bare = f"n={user},r=rOprNGfwEbeRWgbNEkqO"
        tap.contains(client.command("AUTH " + name), "+")
        first = say(client, "n,," + bare)
        if not first.startswith("+ "):
            return first
        first = base64.b64decode(first[2:]).decode()
        parts = dict(part.split("=", 1) for part in first.split(","))
        salted = hashlib.pbkdf2_hmac(method, secret.encode(),
                                     base64.b64decode(parts["s"]),
                                     int(parts["i"]))
        last = f"c=biws,r={parts['r']}"
        key = mac(salted, "Client Key")
        signature = mac(hashlib.new(method, key).digest(),
                        f"{bare},{first},{last}")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        answer = say(client,
                     last + ",p=" + base64.b64encode(proof).decode())
        return client.command("") if answer.startswith("+ ") else answer


def scram_sha_1(server, user, secret):
    return scram(server, user, secret, "SCRAM-SHA-1")


def plain(server, authzid, user, password):
    message = "\0".join((authzid, user, password)).encode()
    with Pop3(server) as client:
        return client.command(
            "AUTH PLAIN " + base64.b64encode(message).decode())


def sasldb(*users):
    """A database made by saslpasswd2; its path."""
    path = os.path.join(scratch.name, f"sasldb{counter}")
    for user in users:
        set_secret(path, user, user + "-secret")
    return path


def set_secret(path, user, secret):
    subprocess.run([found("saslpasswd2"), "-p", "-c", "-f", path, "-u",
                    net.host(), user], input=secret, text=True, check=True)
    os.chmod(path, 0o600)
    if os.getuid() == 0:
        own(path, AUTH_USER)


def sasldb_serves_every_mechanism_with_secrets():
    found("saslpasswd2")
    path = sasldb("alice", "bob")
    with kpopd(secrets="sasldb:" + path, mechanisms="APOP CRAM-MD5 "
               "SCRAM-SHA-256 SCRAM-SHA-1").start() as server:
        for way in (apop, cram, scram, scram_sha_1):
            tap.contains(once_free(
                lambda server: way(server, "alice", "alice-secret"), server),
                "+OK")
            tap.contains(way(server, "alice", "bob-secret"), "-ERR [AUTH]")
            tap.contains(way(server, "nobody", ""), "-ERR [AUTH]")
            tap.contains(way(server, "nobody", "nobody-secret"),
                         "-ERR [AUTH]")
        set_secret(path, "alice", "new-secret")
        tap.contains(apop(server, "alice", "alice-secret"), "-ERR [AUTH]")
        tap.contains(once_free(
            lambda server: apop(server, "alice", "new-secret"), server),
            "+OK")
        os.chmod(path, 0o644)
        tap.contains(apop(server, "alice", "new-secret"), "-ERR [SYS/TEMP]")
        server.await_log(r"event=auth\.secrets .*everybody may read")
        tap.lacks(server.log(), "-secret")


def sasldb_that_others_may_read_is_a_mistake():
    found("saslpasswd2")
    path = sasldb("alice")
    server = kpopd(secrets="sasldb:" + path)
    for mode, text in ((0o644, "everybody may read"), (0o640, None),
                       (0o602, "everybody may read")):
        os.chmod(path, mode)
        status, output = check(server.path, server.env)
        tap.equal(status, 1 if text else 0, output)
        tap.contains(output, text or "")
    os.unlink(path)
    status, output = check(server.path, server.env)
    tap.equal(status, 1, output)
    tap.contains(output, "cannot read " + path)


# ---- locked accounts, and those who act for others ----

def ticket_answer(server, user, mailbox=None):
    env = dict(realm.env, KRB5CCNAME=realm.ccache(user))
    with ticket(env) as request, Kpop(server) as client:
        client.handshake(request.octets)
        return client.login(mailbox or user)


def once_free(way, server):
    """A session that hung up a moment ago may still hold the lock."""
    def ask():
        answer = way(server)
        return None if answer.startswith("-ERR [IN-USE]") else answer
    return tap.await_(ask, "the maildrop is free")


def locked_account_is_refused_by_every_mechanism():
    directory = place()
    path = passwords(directory, *USERS)
    hush = secrets("alice:wonderland", "bob:builder")
    keys = {"mechanisms": "USER PLAIN APOP CRAM-MD5 SCRAM-SHA-256",
            "listen_kpop": f"{net.address()}:0", "passwords": "file:" + path,
            "secrets": "file:" + hush}
    ways = (lambda server: attempt(server, "alice", "alice-password"),
            lambda server: plain(server, "", "alice", "alice-password"),
            lambda server: apop(server, "alice", "wonderland"),
            lambda server: cram(server, "alice", "wonderland"),
            lambda server: scram(server, "alice", "wonderland"),
            lambda server: ticket_answer(server, "alice"))
    with kpopd(**keys).start() as server:
        for way in ways:
            tap.contains(once_free(way, server), "+OK")
        with open(path, encoding="ascii") as file:
            text = file.read()
        for mark in ("!", "*"):
            with open(path, "w", encoding="ascii") as file:
                file.write(text.replace("alice:", "alice:" + mark))
            for way in ways:
                tap.contains(way(server), "-ERR [AUTH]")
        gets_in(server, "bob", "bob-password")
        server.await_log(r"event=auth\.locked .*claimed=alice")
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        secrets("alice:!wonderland", "bob:builder", path=hush)
        for way in ways:
            tap.contains(way(server), "-ERR [AUTH]")
        secrets("bob:builder", path=hush)
        tap.contains(once_free(ways[0], server), "+OK")
        tap.contains(once_free(ways[5], server), "+OK")


def only_proxy_users_open_the_maildrops_of_others():
    directory = place()
    path = passwords(directory, *USERS)
    keys = {"mechanisms": "USER PLAIN", "passwords": "file:" + path,
            "listen_kpop": f"{net.address()}:0"}
    with kpopd(**keys).start() as server:
        tap.contains(plain(server, "bob", "alice", "alice-password"),
                     "-ERR [AUTH]")
        tap.contains(ticket_answer(server, "carol", "bob"), "-ERR [AUTH]")
        tap.contains(plain(server, "alice", "alice", "alice-password"), "+OK")
    with kpopd(proxy_users="alice carol@EXAMPLE.ORG", **keys
               ).start() as server:
        tap.contains(plain(server, "bob", "alice", "alice-password"), "+OK")
        server.await_log(r"event=auth\.proxy .*mechanism=PLAIN "
                         "authcid=alice mailbox=bob")
        tap.contains(plain(server, "bob", "carol", "carol-password"),
                     "-ERR [AUTH]")
        tap.contains(plain(server, "bob", "alice", "bob-password"),
                     "-ERR [AUTH]")
        tap.contains(plain(server, "../bob", "alice", "alice-password"),
                     "-ERR [AUTH]")
        tap.contains(once_free(
            lambda server: ticket_answer(server, "carol", "bob"), server),
            "+OK")
        server.await_log(r"event=auth\.proxy .*mechanism=KPOP "
                         "authcid=carol@EXAMPLE.ORG mailbox=bob")
        tap.contains(ticket_answer(server, "alice", "bob"), "-ERR [AUTH]")
        with open(path, encoding="ascii") as file:
            text = file.read()
        for locked in ("bob", "carol"):
            with open(path, "w", encoding="ascii") as file:
                file.write(text.replace(locked + ":", locked + ":!"))
            tap.contains(ticket_answer(server, "carol", "bob"),
                         "-ERR [AUTH]")


def lock_holds_for_the_mailboxes_that_a_map_gives():
    path = passwords(place(), *USERS)
    granted = os.path.join(scratch.name, "map")
    with open(granted, "w", encoding="ascii") as file:
        file.write("alice@EXAMPLE.ORG alice\nalice@EXAMPLE.ORG bob\n")
    with kpopd(passwords="file:" + path, principal_map=granted,
               listen_kpop=f"{net.address()}:0").start() as server:
        tap.contains(ticket_answer(server, "alice", "bob"), "+OK")
        with open(path, encoding="ascii") as file:
            text = file.read()
        with open(path, "w", encoding="ascii") as file:
            file.write(text.replace("alice:", "alice:!"))
        tap.contains(ticket_answer(server, "alice", "bob"), "-ERR [AUTH]")
        server.await_log(r"event=auth\.locked .*claimed=alice")


def principal_among_proxy_users_is_proved_by_a_ticket_alone():
    """A user of that spelling with a password is somebody else."""
    name = "carol@EXAMPLE.ORG"
    path = passwords(place(), *USERS, name)
    mail = os.path.join(scratch.name, "proxies")
    os.makedirs(mail, exist_ok=True)
    with kpopd(passwords="file:" + path, proxy_users="alice " + name,
               mechanisms="USER PLAIN", store=f"maildir:{mail}/%d/%u",
               ).start() as server:
        tap.contains(plain(server, "bob", name, name + "-password"),
                     "-ERR [AUTH]")
        tap.lacks(server.log(), "event=auth.proxy")
        # Alice may, and only then is there no maildrop.
        tap.contains(plain(server, "bob", "alice", "alice-password"),
                     "-ERR [SYS")
        server.await_log(r"event=auth\.proxy .*authcid=alice mailbox=bob")


# ---- who guesses ----

def guesses_are_slowed_down_and_others_are_not():
    directory = place()
    with kpopd(passwords="file:" + passwords(directory, *USERS),
               login_failure_delay=1, trusted_networks="127.0.0.3"
               ).start() as server:
        def answer(user, password, source="127.0.0.1"):
            with Pop3(server, source=source) as client:
                client.ok(f"USER {user}")
                start = time.monotonic()
                said = client.command(f"PASS {password}")
                return said[:11], time.monotonic() - start

        quick = 0.5 * tap.SLOW
        tap.contains(answer("alice", "alice-password")[0], "+OK")
        said, took = answer("bob", "wrong")
        tap.equal(said, "-ERR [AUTH]", "bob")
        tap.true(took < quick, f"bob took {took:.2f} s")
        # The worker with an idle session gets none; all know of the failures.
        idle = Pop3(server)
        said, took = answer("nobody", "wrong")
        tap.equal(said, "-ERR [AUTH]", "nobody")
        tap.true(took < quick, f"nobody took {took:.2f} s")
        idle.close()
        mark = server.mark()
        said, took = answer("carol", "carol-password")
        tap.contains(said, "+OK")
        tap.true(took > 0.5, f"right password behind two wrong ones {took}")
        server.await_log(r"event=auth\.slowed .*peer=127\.0\.0\.1 "
                         r"milliseconds=\d+", mark)
        for user, source in (("alice", "127.0.0.1"), ("fred", "127.0.0.2")):
            said, took = answer(user, user + "-password", source)
            tap.contains(said, "+OK")
            tap.true(took < quick, f"{user} from {source} took {took:.2f} s")
        for _ in range(4):
            said, took = answer("fred", "wrong", "127.0.0.3")
            tap.true(took < quick, f"trusted network took {took:.2f} s")


def guesses_at_the_same_time_wait_for_each_other():
    with kpopd(passwords="file:" + passwords(place(), *USERS),
               login_failure_delay=1).start() as server, \
            contextlib.ExitStack() as stack:
        clients = [stack.enter_context(
            Pop3(server, source=f"127.0.0.{number}"))
            for number in range(11, 19)]
        for client in clients:
            client.ok("USER alice")
        start = time.monotonic()
        for client in clients:
            client.send(b"PASS wrong\r\n")
        tap.await_(lambda: len(re.findall(r"event=auth\.fail ",
                                          server.log())) >= 4,
                   "four of eight are judged", 20)
        took = time.monotonic() - start
        # Two at once, then one a second.
        tap.true(took > 1.5, f"four guesses took {took:.2f} s")


def waiting_login_ends_with_its_client_and_with_the_server():
    directory = place()
    with kpopd(passwords="file:" + passwords(directory, *USERS),
               login_failure_delay=30, login_timeout=120).start() as server:
        for _ in range(2):
            refused(server, "alice", "wrong")
        with Pop3(server) as client:
            client.ok("USER alice")
            mark = server.mark()
            client.send(b"PASS wrong\r\n")
            server.await_log(r"event=auth\.slowed", mark)
        server.await_log(r"event=session\.end", mark)
        with Pop3(server) as client:
            client.ok("USER alice")
            mark = server.mark()
            client.send(b"PASS wrong\r\n")
            server.await_log(r"event=auth\.slowed", mark)
            start = time.monotonic()
            server.stop()
            took = time.monotonic() - start
            tap.true(took < 10 * tap.SLOW, f"the stop took {took:.1f} s")


# ---- fail2ban ----

def fail2ban_bans(lines):
    """The addresses that fail2ban-regex finds by our filter, a list."""
    folder = os.path.join(scratch.name, "fail2ban")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree("/etc/fail2ban", folder)
    ours = os.path.join(net.ROOT, "packaging/fail2ban")
    shutil.copytree(ours, folder, dirs_exist_ok=True)
    log = os.path.join(scratch.name, "fail2ban.log")
    with open(log, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    done = subprocess.run(
        [found("fail2ban-regex"), "-c", folder, "-o", "ip", log, "kpopd"],
        text=True, check=False, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    tap.equal((done.returncode, done.stderr), (0, ""), "fail2ban-regex")
    return done.stdout.split()


def fail2ban_takes_our_jail():
    found("fail2ban-client")
    fail2ban_bans([])
    folder = os.path.join(scratch.name, "fail2ban")
    with open(os.path.join(folder, "jail.d/zz.conf"), "w",
              encoding="ascii") as file:
        file.write("[kpopd]\nenabled = true\nbackend = polling\n"
                   "logpath = /dev/null\n[sshd]\nenabled = false\n")
    done = subprocess.run(
        [found("fail2ban-client"), "-c", folder, "-t"], text=True,
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    tap.equal(done.returncode, 0, done.stdout)


def fail2ban_finds_failures_and_no_injected_address():
    """The lines are kpopd's own, of clients that try to have others banned."""
    found("fail2ban-regex")
    directory = place()
    names = ("alice", "alice peer=192.0.2.1", "a service=x peer=192.0.2.2",
             'a" peer=192.0.2.3 b="', "event=auth.fail peer=192.0.2.4",
             "x kpopd[1]: event=auth.fail level=info pid=1 session=1 "
             "peer=192.0.2.5 service=pop3", "192.0.2.6", "\\x22 192.0.2.7")
    with kpopd(passwords="file:" + passwords(directory, *USERS),
               mechanisms="USER PLAIN APOP GSSAPI",
               secrets="file:" + secrets("alice:wonderland")
               ).start() as server:
        # Tickets can't be guessed, and the server's own key may be old.
        with Pop3(server) as client:
            client.err("AUTH GSSAPI AAAA", "-ERR [AUTH]")
        for number, name in enumerate(names, 1):
            with Pop3(server, source=f"127.0.0.{number}") as client:
                client.ok("USER " + name)
                client.err("PASS peer=192.0.2.8", "-ERR [AUTH]")
        refused(server, "bob", "wrong")
        apop(server, "alice", "wrong")
        gets_in(server, "alice", "alice-password")
        plain(server, "bob", "alice", "alice-password")
        server.await_log(r"event=auth\.denied")
        lines = server.log().splitlines()
    failures = [line for line in lines if line.startswith("event=auth.fail ")]
    tap.equal(len(failures), len(names) + 3, "auth.fail lines")
    want = sorted([f"127.0.0.{n}" for n in range(1, len(names) + 1)]
                  + ["127.0.0.1"] * 2)
    when = time.strftime("%b %d %H:%M:%S")
    iso = time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00")
    for form, prefix in (("standard error", ""),
                         ("syslog", f"{when} mail kpopd[4711]: "),
                         ("rsyslog", f"{iso} mail kpopd[4711]: ")):
        tap.equal(sorted(fail2ban_bans([prefix + x for x in lines])), want,
                  form)
    other = f"{when} mail other[1]: said "
    tap.equal(fail2ban_bans([other + x for x in failures]), [],
              "lines of others")


if __name__ == "__main__":
    tap.main(globals(), before, after)
