#!/usr/bin/env python3
# dovecot.py - KPOP inside the Dovecot of the distribution: kpop-login and
# libmech_kpop.so with a real KDC, fetchmail, and raw clients.
# TIME-LIMIT: 600
#
# SPDX-License-Identifier: MIT
import base64
import contextlib
import os
import pwd
import re
import subprocess
import tempfile
import time

from harness import net, tap

net.enter()

from harness import dovecot as suite  # noqa: E402 (inside the network)
from harness.clients import Fetchmail  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness import tls  # noqa: E402
from harness.wire import (  # noqa: E402
    KPOP, SENDAUTH, VERSIONS, Kpop, Line, Pop3, frame)

scratch = tempfile.TemporaryDirectory(prefix="kpop-dovecot-")
realm = None
dovecot = None
counter = 0

WRONG_PORT = (b"-ERR [AUTH] this port speaks KPOP: Kerberos authentication "
              b"comes first\r\n")
DOTS = "From: bob@example.org\nSubject: dots\n\n.one\n..two\n.\nthe end\n"


@tap.helper
def before():
    global realm, dovecot
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    suite.cover(os.path.join(scratch.name, "cover"))
    realm = Realm(os.path.join(scratch.name, "realm"), "--other")
    dovecot = suite.Dovecot(os.path.join(scratch.name, "dovecot"), realm)


@tap.helper
def after():
    if dovecot:
        dovecot.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


def fetchmail(**more):
    global counter
    counter += 1
    return Fetchmail(os.path.join(scratch.name, f"client{counter}"), 1109,
                     **more)


def ap_req(user="alice", service=None, **options):
    return ApReq(realm, service, ccache=realm.ccache(user), **options)


def another(name, **more):
    """A Dovecot for one test; the common one rests meanwhile."""
    dovecot.stop()
    return suite.Dovecot(os.path.join(scratch.name, name), realm, **more)


def one_process(clients):
    """kpop-login as one process for that many connections."""
    text = f"""
service kpop-login {{
  service_count = 0
  process_limit = 1
  client_limit = {clients}
}}
"""
    return {(2, 3): text, (2, 4): text.replace(
        "service_count = 0", "restart_request_count = unlimited")}


@contextlib.contextmanager
def own(name, **more):
    made = another(name, **more)
    try:
        yield made
    finally:
        made.stop()
        dovecot.start()


def serves(mailbox=None):
    """A whole session still works."""
    (mailbox or dovecot).box("alice")
    with ap_req(mutual=True) as request, Kpop(dovecot) as client:
        tap.equal(request.judge(client.handshake(request.octets, True)), "ok",
                  "AP-REP")
        tap.contains(client.login("alice"), "+OK")
        client.ok("STAT")
        client.ok("QUIT")
        tap.equal(client.rest(), b"", "octets behind QUIT")


def answer(octets):
    """Everything the server says to octets until it closes."""
    with Kpop(dovecot) as client:
        client.send(octets)
        return client.rest()


def refusal(request):
    """(code, text) of the KRB_ERROR to an AP-REQ."""
    with Kpop(dovecot) as client:
        return request.error(client.refused(request.octets))


# ---- what it is for ----

def fetchmail_fetches_by_ticket():
    box = dovecot.box("alice").empty().fill(1)
    box.deliver(DOTS)
    client = fetchmail()
    tap.equal(client.run(realm, realm.ccache("alice")), 0,
              client.output + dovecot.log())
    got = client.got()
    tap.equal(len(got), 2, "messages")
    tap.true(any(b"\n\n.one\n..two\n.\nthe end\n" in m for m in got),
             f"the dots are whole: {got}")
    tap.equal(box.names(), [], "messages left")


def fetchmail_fetches_by_ticket_inside_tls():
    box = dovecot.box("alice").empty().fill(2)
    mark = dovecot.mark()
    client = fetchmail(more=f"sslcertck sslcertfile "
                       f"{dovecot.authority.path} sslproto 'TLS1.3+'")
    tap.equal(client.run(realm, realm.ccache("alice")), 0, client.output)
    tap.equal(len(client.got()), 2, "messages")
    tap.equal(box.names(), [], "messages left")
    dovecot.await_log(r"(Login|Logged in): user=<alice>, method=KPOP.*TLS", mark)


def fetchmail_without_a_ticket_is_told_at_once():
    dovecot.box("alice").empty().fill(1)
    client = fetchmail()
    tap.equal(client.run(realm, realm.empty_ccache()), 7, client.output)
    tap.true(client.took < 1 * tap.SLOW, f"took {client.took} s")


def burst_of_push_commits_deletions():
    box = dovecot.box("alice").empty().fill(2)
    with ap_req() as request, Kpop(dovecot) as client:
        client.send(VERSIONS + frame(request.octets)
                    + b"USER alice\r\nPASS hej\r\nSTAT\r\nRETR 1\r\n"
                    b"RETR 2\r\nXDELE 1 2\r\nDELE 1\r\nDELE 2\r\nQUIT\r\n")
        heard = client.rest()
    tap.true(heard.startswith(b"\0\0\0\0\0+OK"), f"heard {heard!r}")
    tap.contains(heard, b"This is message 2.")
    tap.await_(lambda: box.names() == [], "both messages are deleted")


def one_octet_a_segment_gives_the_same_session():
    dovecot.box("alice").empty().fill(1)
    with ap_req() as request, Kpop(dovecot) as client:
        client.send(VERSIONS + frame(request.octets)
                    + b"USER alice\r\nPASS x\r\nSTAT\r\nQUIT\r\n",
                    one_by_one=True)
        heard = client.rest()
    tap.equal(heard.count(b"+OK"), 5, f"answers {heard!r}")


def capa_of_the_port_has_no_password_dialogue():
    with ap_req() as request, Kpop(dovecot) as client:
        client.handshake(request.octets)
        capa = client.multi("CAPA")
        tap.true("USER" in capa and "STLS" in capa, f"CAPA {capa}")
        tap.true(not any(line.startswith(("SASL", "APOP")) for line in capa),
                 f"CAPA {capa}")
        client.err("AUTH PLAIN AGFsaWNlAGFsaWNlLXBhc3N3b3Jk")
        client.err("AUTH KPOP")
        client.err("APOP alice " + 32 * "0")


def password_opens_nothing_on_the_port():
    """Right passwords for 110, behind another principal's ticket or none."""
    mark = dovecot.mark()
    tap.equal(answer(b"USER alice\r\nPASS alice-password\r\n"), WRONG_PORT,
              "without a ticket")
    with ap_req("bob") as request, Kpop(dovecot) as client:
        client.handshake(request.octets)
        client.ok("USER alice")
        client.err("PASS alice-password", "-ERR [AUTH]")
        tap.equal(client.rest(), b"", "closed behind it")
    tap.lacks(dovecot.log(mark), "alice-password", "log")


def auth_kpop_on_pop3_is_refused_and_not_listed():
    mark = dovecot.mark()
    with Pop3(dovecot) as client, ap_req() as request:
        capa = " ".join(client.multi("CAPA"))
        tap.contains(capa, "GSSAPI")
        tap.lacks(capa, "KPOP", "CAPA of 110")
        tap.lacks(" ".join(client.multi("AUTH")), "KPOP", "bare AUTH")
        piece = base64.b64encode(b"l" + request.octets).decode()
        for line in ("AUTH KPOP", "AUTH KPOP " + piece):
            client.err(line)
        client.ok("USER alice")
        client.ok("PASS alice-password")
        client.ok("QUIT")
    dovecot.await_log("tried to use|Unsupported authentication", mark)


def uidls_are_those_of_port_110():
    dovecot.box("alice").empty().fill(3)
    with Pop3(dovecot).login("alice") as client:
        want = client.multi("UIDL")
        client.ok("QUIT")
    with ap_req() as request, Kpop(dovecot) as client:
        client.handshake(request.octets)
        client.login("alice")
        tap.equal(client.multi("UIDL"), want, "UIDL by KPOP")
        client.ok("QUIT")
    tap.equal(len(want), 3, "messages")


def doveadm_who_shows_the_session():
    dovecot.box("alice")
    with ap_req() as request, Kpop(dovecot) as client:
        client.handshake(request.octets)
        client.login("alice")
        tap.await_(lambda: re.search(r"alice\s.*pop3", dovecot.doveadm(
            "who")), lambda: "alice in who: " + dovecot.doveadm("who"))
        client.ok("QUIT")
    tap.await_(lambda: "alice" not in dovecot.doveadm("who"),
               "alice is gone from who")


# ---- STLS ----

def stls_waits_for_an_open_login():
    """The ticket before STLS, USER behind it: RFC 2595's order for KPOP."""
    dovecot.box("alice").empty().fill(1)
    with ap_req() as request, Kpop(dovecot) as client:
        client.handshake(request.octets)
        client.ok("USER bob")
        client.ok("STLS")
        tls.secure(client, tls.context(dovecot.authority.path))
        client.err("PASS x")  # the name was forgotten
        capa = client.multi("CAPA")
        tap.true("STLS" not in capa, f"CAPA {capa}")
        client.err("STLS")
        tap.contains(client.login("alice"), "+OK")
        tap.contains(client.ok("STAT"), "+OK 1 ")
        client.ok("QUIT")


def input_behind_stls_ends_the_session():
    with ap_req() as request, Kpop(dovecot) as client:
        client.handshake(request.octets)
        client.send(b"STLS\r\nUSER alice\r\n")
        tap.lacks(client.rest(), b"+OK\r\n+OK", "answers")
    serves()


def broken_handshake_ends_the_connection():
    with ap_req() as request, Kpop(dovecot) as client:
        client.handshake(request.octets)
        client.ok("STLS")
        client.send(b"USER alice\r\nPASS x\r\n")
        tap.lacks(client.rest(), b"+OK", "answers in the clear")
    serves()


def stls_is_not_offered_with_ssl_no():
    with own("nossl", tls_=False), ap_req() as request:
        with Kpop(dovecot) as client:
            client.handshake(request.octets)
            tap.true("STLS" not in client.multi("CAPA"), "no STLS in CAPA")
            client.err("STLS")
            tap.contains(client.login("alice"), "+OK")


def ssl_required_wants_stls_before_user():
    """But not of the host itself, which Dovecot takes for secure."""
    more = {(2, 3): "ssl = required\n",
            (2, 4): "ssl = required\nauth_allow_cleartext = no\n"}
    with own("required", more=more) as strict:
        strict.box("alice")
        with ap_req() as request, \
                Kpop(strict, source="127.0.0.2") as client:
            client.handshake(request.octets)
            client.err("USER alice", "-ERR [AUTH]")
            client.ok("STLS")
            tls.secure(client, tls.context(strict.authority.path))
            tap.contains(client.login("alice"), "+OK")
            client.ok("QUIT")
        serves()


# ---- what Dovecot does for every login ----

def users_and_addresses_have_a_limit_of_connections():
    with own("limit", more="mail_max_userip_connections = 2\n") as strict:
        for user in ("alice", "bob"):
            strict.box(user)
        with contextlib.ExitStack() as stack:
            for count in range(3):
                request = stack.enter_context(ap_req())
                client = stack.enter_context(Kpop(strict))
                client.handshake(request.octets)
                heard = client.login("alice")
                tap.equal(heard[:3], "+OK" if count < 2 else "-ER", heard)
            tap.contains(heard, "mail_max_userip_connections=2")
            tap.equal(client.rest(), b"", "closed behind it")
            request = stack.enter_context(ap_req("bob"))
            client = stack.enter_context(Kpop(strict))
            client.handshake(request.octets)
            tap.contains(client.login("bob"), "+OK")


def refused_tickets_and_names_are_penalised():
    """The next login of that address waits, KPOP's and POP3's."""
    with own("penalty", penalty=True) as strict:
        strict.box("alice")
        for user in ("bob", "bob"):
            with ap_req(user) as request, Kpop(strict) as client:
                client.handshake(request.octets)
                client.ok("USER alice")
                client.err("PASS x", "-ERR [AUTH]")
        with ap_req(flip="ticket") as request:
            tap.equal(refusal(request)[0], 31, "code")
        tap.await_(lambda: "127.0.0.1" in strict.doveadm("penalty"),
                   lambda: "a penalty in " + strict.doveadm("penalty"))
        tap.show(strict.doveadm("penalty").replace("\n", " | "))
        began = time.monotonic()
        with ap_req() as request, Kpop(strict, seconds=30) as client:
            client.handshake(request.octets)
            tap.true(time.monotonic() - began > 2, "the next one waits")
            heard = client.login("alice")
            tap.contains(heard, "+OK", strict.log())
            client.ok("QUIT")
        tap.await_(lambda: " 0 " in strict.doveadm("penalty")
                   or "127.0.0.1" not in strict.doveadm("penalty"),
                   "success takes the penalty away")


def login_is_logged_as_pop3_login_does():
    dovecot.box("alice")
    mark = dovecot.mark()
    serves()
    dovecot.await_log(
        r"-login: Info: (Login|Logged in): user=<alice>, method=KPOP, "
        r"rip=127\.0\.0\.1, lip=127\.0\.0\.1, mpid=\d+", mark)
    dovecot.await_log(r"pop3\(alice\)<\d+><\S+>: Info: Disconnected: Logged "
                      r"out", mark)
    tap.true(re.search(r"auth.*kpop\.accepted.*principal=alice@",
                       dovecot.log(mark)) is not None,
             f"the principal in the log: {dovecot.log(mark)}")


def addresses_of_haproxy_are_the_clients():
    more = """
haproxy_trusted_networks = 127.0.0.0/8
service kpop-login {
  inet_listener kpop {
    haproxy = yes
  }
}
"""
    with own("haproxy", more=more) as behind, ap_req() as request:
        behind.box("alice")
        with Kpop(behind) as client:
            client.send(b"PROXY TCP4 192.0.2.9 192.0.2.1 4000 1109\r\n")
            client.handshake(request.octets)
            tap.contains(client.login("alice"), "+OK")
        behind.await_log(r"user=<alice>, method=KPOP, rip=192\.0\.2\.9")


def trusted_networks_need_no_tls_before_2_4():
    """Since 2.4 whoever is trusted has to encrypt, too."""
    more = "ssl = required\nlogin_trusted_networks = 127.0.0.2/32\n"
    if dovecot.version >= (2, 4):
        more += "auth_allow_cleartext = no\n"
    with own("trusted", more=more) as strict, ap_req() as request, \
            Kpop(strict, source="127.0.0.2") as client:
        strict.box("alice")
        client.handshake(request.octets)
        if dovecot.version >= (2, 4):
            client.err("USER alice", "-ERR [AUTH] TLS required")
        else:
            tap.contains(client.login("alice"), "+OK")


# ---- in front of other servers ----

@contextlib.contextmanager
def front(name, fields):
    """A Dovecot that hands alice to the common one, which has her mail."""
    dovecot.box("alice").empty().fill(2)
    made = suite.Dovecot(
        os.path.join(scratch.name, name), realm,
        users=f"alice:{{PLAIN}}x::::::proxy=y host=127.0.0.1 {fields}\n",
        ports={"kpop": 2109, "pop3": 2110})
    try:
        yield made
    finally:
        made.stop()


def proxy_logs_in_at_the_other_server():
    for name, fields in (
            ("plain", "port=110 pass=alice-password"),
            ("sasl", "port=110 pass=alice-password proxy_mech=PLAIN"),
            ("tls", "port=110 pass=alice-password starttls=any-cert")):
        with front("front-" + name, fields) as proxy, ap_req() as request, \
                Kpop(proxy) as client:
            client.send(VERSIONS + frame(request.octets)
                        + b"USER alice\r\nPASS x\r\nSTAT\r\nQUIT\r\n")
            heard = client.rest()
            tap.contains(heard, b"+OK 2 ", f"{name}\n{proxy.log()}")
            tap.equal(heard.count(b"+OK"), 5, f"answers {heard!r}")
            proxy.await_log(r"proxy\(alice,127\.0\.0\.1:110\): Started "
                            r"proxying")


def proxy_inside_tls_moves_both_ways():
    with front("front-both", "port=110 pass=alice-password") as proxy, \
            ap_req() as request, Kpop(proxy) as client:
        client.handshake(request.octets)
        client.ok("STLS")
        tls.secure(client, tls.context(proxy.authority.path))
        tap.contains(client.login("alice"), "+OK")
        tap.contains(client.ok("STAT"), "+OK 2 ")
        tap.contains("\n".join(client.multi("RETR 2")), "message 2")
        client.ok("QUIT")


def proxy_says_what_the_other_server_refuses():
    for name, fields, start in (
            ("wrong", "port=110 pass=wrong", "-ERR [AUTH]"),
            ("down", "port=9 pass=alice-password", "-ERR [SYS/TEMP]")):
        with front("front-" + name, fields) as proxy, ap_req() as request, \
                Kpop(proxy, seconds=40) as client:
            client.handshake(request.octets)
            heard = client.login("alice")
            tap.equal(heard[:len(start)], start, f"{heard}\n{proxy.log()}")
            tap.equal(client.rest(), b"", "closed behind it")
            for word in ("Panic", "assert"):
                tap.lacks(proxy.log(), word, "log")


# ---- who may read what ----

def passdb_may_list_principals_and_disable_users():
    users = ("alice:{PLAIN}x::::::\n"
             "team:{PLAIN}x::::::k5principals=bob@EXAMPLE.ORG,"
             "dave@OTHER.ORG\n"
             "bob:{PLAIN}x::::::nologin\n")
    with own("principals", users=users) as strict:
        for user in ("alice", "team", "fred"):
            strict.box(user)
        for user, mailbox, start in (
                ("bob", "team", "+OK"), ("dave@OTHER.ORG", "team", "+OK"),
                ("alice", "team", "-ERR [AUTH]"), ("alice", "alice", "+OK"),
                ("bob", "bob", "-ERR [AUTH]"), ("fred", "fred", "+OK"),
                ("bob", "alice", "-ERR [AUTH]")):
            with ap_req(user) as request, Kpop(strict) as client:
                client.handshake(request.octets)
                heard = client.login(mailbox)
                tap.equal(heard[:len(start)], start,
                          f"{user} as {mailbox}: {heard}\n{strict.log()}")


def principal_map_is_asked_first():
    path = os.path.join(scratch.name, "principals.map")
    with open(path, "w", encoding="ascii") as file:
        file.write("carol/admin@EXAMPLE.ORG alice\n")
    os.chmod(path, 0o644)
    with own("map", module={"principal_map": path}) as strict:
        strict.box("alice")
        with ap_req("carol/admin") as request, Kpop(strict) as client:
            client.handshake(request.octets)
            tap.contains(client.login("alice"), "+OK")


def master_user_is_not_reached_by_a_name_with_a_separator():
    users = "alice:{PLAIN}x::::::\nbob:{PLAIN}x::::::\n"
    masters = os.path.join(scratch.name, "masters")
    with open(masters, "w", encoding="ascii") as file:
        file.write("bob:{PLAIN}x::::::k5principals=bob@EXAMPLE.ORG\n")
    os.chmod(masters, 0o644)
    more = {(2, 3): f"""
auth_master_user_separator = *
passdb {{
  driver = passwd-file
  args = {masters}
  master = yes
}}
""", (2, 4): f"""
auth_master_user_separator = *
passdb masters {{
  driver = passwd-file
  passwd_file_path = {masters}
  master = yes
}}
"""}
    with own("master", users=users, more=more) as strict:
        strict.box("alice")
        with ap_req("bob") as request, Kpop(strict) as client:
            client.handshake(request.octets)
            client.command("USER alice*bob")
            client.err("PASS x")


# ---- who runs as what ----

def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file
                    if ":\t" in line)


def kpop_login_is_dovenull_chrooted_without_capabilities():
    nobody = pwd.getpwnam("dovenull")
    keeper = pwd.getpwnam("dovecot")
    with ap_req() as request, Kpop(dovecot) as client:
        client.handshake(request.octets)
        for pid in dovecot.processes("kpop-login"):
            status = status_of(pid)
            tap.equal(status["Uid"].split(), 4 * [str(nobody.pw_uid)], "uid")
            tap.equal(status["Gid"].split(), 4 * [str(nobody.pw_gid)], "gid")
            tap.equal(int(status["CapEff"], 16) | int(status["CapPrm"], 16),
                      0, "capabilities")
            root = os.readlink(f"/proc/{pid}/root")
            tap.true(root.endswith("/run/login"), f"root {root}")
            tap.show(f"kpop-login: uid {status['Uid'].split()[0]} "
                     f"(dovenull), CapEff {status['CapEff']}, root {root}")
        tap.equal(len(dovecot.processes("kpop-login")), 1, "processes")
        for pid in dovecot.processes("auth"):
            status = status_of(pid)
            tap.equal(status["Uid"].split()[1], str(keeper.pw_uid), "uid")
            tap.show(f"auth: uid {status['Uid'].split()[1]} (dovecot), "
                     f"CapEff {status['CapEff']}")


def kpop_login_can_not_read_the_keytab():
    """Its user, its root and its descriptors."""
    with ap_req() as request, Kpop(dovecot) as client:
        client.handshake(request.octets)
        pid = dovecot.processes("kpop-login")[0]
        for name in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            tap.lacks(target, "keytab", "a descriptor of kpop-login")
        tried = subprocess.run(
            ["setpriv", "--reuid", "dovenull", "--regid", "dovenull",
             "--clear-groups", "cat", dovecot.keytab],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        tap.contains(tried.stderr.decode(), "Permission denied")
        tap.true(not os.path.exists(f"/proc/{pid}/root{dovecot.keytab}"),
                 "no keytab below its root")


def only_the_entry_of_the_module_is_called():
    for file in suite.ours():
        names = subprocess.run(["nm", "-D", file], text=True, check=True,
                               stdout=subprocess.PIPE).stdout
        tap.true(not re.search(r"\b(krb5_|gss_|sasl_(?!server_auth)|"
                               r"kpop_(?!auth))", names), f"{file}: {names}")
        needed = subprocess.run(["readelf", "-d", file], text=True,
                                check=True, stdout=subprocess.PIPE).stdout
        tap.true(not re.search(r"NEEDED.*(krb5|gssapi|sasl)", needed),
                 f"{file}: {needed}")


# ---- large tickets ----

def ap_req_of_60_kib_disturbs_nobody():
    """One process, so one connection to the auth process for both."""
    with own("large", more=one_process(50)) as shared:
        for user in ("alice", "bob"):
            shared.box(user)
        with ap_req("bob") as small, Kpop(shared) as other, \
                ap_req(pad=60 * 1024) as large, Kpop(shared) as client:
            client.versions()
            whole = frame(large.octets)
            tap.true(len(whole) > 60 * 1024, "a large AP-REQ")
            client.send(whole[:30000])
            other.versions()
            client.send(whole[30000:])
            other.send(frame(small.octets))
            for line in (client, other):
                tap.equal(line.read(4), b"\0\0\0\0", "accepted")
                tap.contains(line.line(), "+OK")
            tap.contains(other.login("bob"), "+OK")
            tap.contains(client.login("alice"), "+OK")
        tap.equal(len(shared.processes("kpop-login")), 1, "processes")
        tap.lacks(shared.log(), "Error", "log")


def ap_req_over_128_kib_is_refused():
    with ap_req() as judge, Kpop(dovecot) as client:
        client.versions()
        client.send((128 * 1024 + 1).to_bytes(4, "big"))
        tap.equal(judge.error(client.framed())[0], 40, "code")
        tap.equal(client.rest(), b"", "octets behind it")
    serves()


# ---- rows of kpop-wire.md ----

def n1_silence_is_answered_after_ten_seconds():
    with Line(dovecot.ports["kpop"], seconds=20) as client:
        tap.equal(client.rest(), WRONG_PORT, "answer to silence")


def n2_quit_is_answered_at_once():
    for octets, start in ((b"QUIT\r\n", b""), (VERSIONS + b"QUIT\r\n", b"\0")):
        heard = answer(octets)
        tap.true(heard.startswith(start + b"+OK") and heard.endswith(b"\r\n"),
                 f"{octets!r}: {heard!r}")


def n3_pop3_commands_are_refused_without_reading_a_password():
    mark = dovecot.mark()
    for octets in (b"CAPA\r\n", b"USER alice\r\nPASS s3cret-w0rd\r\n",
                   b"AUTH GSSAPI\r\n", b"GET / HTTP/1.0\r\n\r\n"):
        tap.equal(answer(octets), WRONG_PORT, f"answer to {octets!r}")
    tap.lacks(dovecot.log(mark), "s3cret-w0rd", "log")


def n4_tls_client_hello_gets_an_alert():
    hello = bytes.fromhex("1603010200010001fc0303") + b"\x55" * 500
    tap.equal(answer(hello).hex(), "15030100020228", "alert")


def n5_kerberos_4_gets_a_sentence():
    tap.equal(answer(b"AUTHV0.1KPOPV0.1" + b"\0\0\0\x04abcd"),
              b"-ERR [AUTH] Kerberos 4 KPOP is not supported; use Kerberos 5"
              b"\r\n", "answer")


def n6_n7_bad_versions_get_their_octet():
    for octets in (b"\xff\xff\xff\xff", b"\x10\0\0\0", b"\0\0\0\0",
                   frame(SENDAUTH[:-1]) + frame(KPOP),
                   frame(b"KRB5_SENDAUTH_V9.9\0") + frame(KPOP)):
        tap.equal(answer(octets), b"\1", f"answer to {octets!r}")
    for octets in (b"\0\0\0\0", b"\x7f\xff\xff\xff", frame(KPOP[:-1]),
                   frame(b"KPOPV2.0\0"), frame(b"KPOPV0.1\0"),
                   frame(b"justjunk\0")):
        tap.equal(answer(frame(SENDAUTH) + octets), b"\2",
                  f"answer to {octets!r}")


def n8_impossible_ap_req_length_gets_krb_error_40():
    with ap_req() as judge:
        for length in (b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff",
                       (129 * 1024).to_bytes(4, "big")):
            with Kpop(dovecot) as client:
                client.versions()
                client.send(length)
                tap.equal(judge.error(client.framed())[0], 40,
                          f"code for length {length!r}")
                tap.equal(client.rest(), b"", "octets behind it")


def n9_junk_ap_req_gets_krb_error_40_or_60():
    with ap_req() as request:
        real = request.octets
        for octets in (b"junk" * 20, real[:100], b"\x7e" + real[1:],
                       b"\x6e"):
            request.octets = octets
            code, text = refusal(request)
            tap.true(code in (40, 60), f"code {code} for {octets[:20]!r}")
            tap.true(text != "", "a text for the user")
    serves()


def n10_flipped_bit_gets_krb_error_31():
    for part in ("ticket", "authenticator"):
        with ap_req(flip=part) as request:
            tap.equal(refusal(request)[0], 31, f"code for the {part}")


def n11_replay_is_refused_also_behind_a_restart():
    with ap_req() as request:
        with Kpop(dovecot) as client:
            client.handshake(request.octets)
        tap.equal(refusal(request)[0], 34, "code")
        dovecot.stop()
        dovecot.start()
        tap.equal(refusal(request)[0], 34, "code after a restart")
    owner = os.stat(dovecot.replay)
    tap.equal((owner.st_uid, owner.st_mode & 0o777),
              (pwd.getpwnam("dovecot").pw_uid, 0o600),
              "owner and mode of the replay cache")
    serves()


def n12_clock_skew_gets_krb_error_37_and_names_the_clock():
    for skew in (600, -600):
        with ap_req(skew=skew) as request:
            code, text = refusal(request)
            tap.equal(code, 37, f"code at {skew} s")
            tap.contains(text, "clock")


def n13_expired_ticket_gets_krb_error_32_and_names_kinit():
    ccache = realm.empty_ccache()
    realm.run("expired", "alice", ccache, f"pop/{net.host()}")
    with ApReq(realm, ccache=ccache) as request:
        code, text = refusal(request)
        tap.equal(code, 32, "code")
        tap.contains(text, "kinit")


def n14_n15_other_services_get_krb_error_35():
    with ap_req(service="pop/nokey@EXAMPLE.ORG") as request:
        tap.equal(refusal(request)[0], 35, "code without a key")
    with ap_req(service=realm.service("host"), mutual=True) as request:
        tap.equal(refusal(request)[0], 35, "code of host/")


def n16_unknown_kvno_gets_krb_error_44():
    mark = dovecot.mark()
    with ap_req(service="pop/rekeyed@EXAMPLE.ORG") as request:
        code, text = refusal(request)
        tap.equal(code, 44, "code of a newer kvno")
        tap.contains(text, "kinit")
    dovecot.await_log(r"auth.*: Error: .*kvno", mark)


def n17_missing_keytab_gets_krb_error_45():
    serves()
    os.rename(dovecot.keytab, dovecot.keytab + ".away")
    mark = dovecot.mark()
    try:
        with ap_req() as request:
            tap.equal(refusal(request)[0], 45, "code")
        dovecot.await_log(r"auth.*: Error: .*" + re.escape(dovecot.keytab),
                          mark)
    finally:
        os.rename(dovecot.keytab + ".away", dovecot.keytab)
    serves()


def n18_unusable_replay_cache_fails_closed_with_60():
    serves()
    cache = dovecot.replay
    os.rename(cache, cache + ".away")
    os.mkdir(cache)
    mark = dovecot.mark()
    try:
        with ap_req() as request:
            tap.equal(refusal(request)[0], 60, "code")
        dovecot.await_log(r"auth.*: Error: .*replay", mark)
    finally:
        os.rmdir(cache)
        os.rename(cache + ".away", cache)
    serves()


def n19_half_close_at_every_step():
    with ap_req() as request:
        whole = (VERSIONS + frame(request.octets)
                 + b"USER alice\r\nPASS x\r\nSTAT\r\n")
        for step in (0, 1, 4, 22, 23, 27, 36, 38, 40, 41, 300,
                     len(VERSIONS) + 4 + len(request.octets),
                     len(whole) - 16, len(whole) - 6, len(whole)):
            with Kpop(dovecot) as client:
                client.send(whole[:step])
                client.half_close()
                client.rest()
    serves()


def n20_stall_meets_the_deadline():
    with own("n20", module={"login_timeout": 2}), ap_req() as request:
        for octets in (VERSIONS, VERSIONS + frame(request.octets)[:200],
                       VERSIONS[:30]):
            with Kpop(dovecot) as client:
                client.send(octets)
                tap.true(client.rest() in (b"", b"\0"), "closed silently")


def n21_refusal_is_read_before_any_reset():
    with ap_req(flip="ticket") as request:
        for _ in range(10):
            with Kpop(dovecot) as client:
                client.versions()
                client.send(frame(request.octets) + b"USER alice\r\n" * 2000)
                tap.equal(request.error(client.framed())[0], 31, "code")
                tap.equal(client.rest(), b"", "octets behind it")


def n22_n23_odd_lines_after_the_handshake():
    dovecot.box("alice")
    with ap_req() as request, Kpop(dovecot) as client:
        client.handshake(request.octets)
        for octets in (b"USER ali\0ce\r\n", b"\xff\xfe\r\n", b"X" * 5000
                       + b"\r\n", b"USER alice\0bob\r\n", b"PASS x\r\n"):
            client.send(octets)
            tap.contains(client.line(), "-ERR", f"answer to {octets[:9]!r}")
        client.ok("USER bob")
        client.ok("USER alice")
        client.ok("PASS with many blanks ")
        client.ok("QUIT")


def n24_another_principal_never_opens_the_box():
    box = dovecot.box("alice").empty().fill(2)
    names = box.names()
    for user in ("bob", "carol/admin", "dave@OTHER.ORG", "alice@OTHER.ORG"):
        heard = []
        for mailbox in ("alice", "no-such-user"):
            with ap_req(user) as request, Kpop(dovecot) as client:
                client.handshake(request.octets)
                heard.append(client.login(mailbox))
                tap.contains(heard[-1], "-ERR [AUTH]", f"answer to {user}")
                tap.equal(client.rest(), b"", "closed behind it")
        tap.equal(heard[1], heard[0], "a mailbox that isn't there")
    tap.equal(box.names(), names, "alice's maildir")


def n26_idle_handshakes_leave_room():
    with own("n26", more=one_process(50)):
        idle = [Kpop(dovecot).versions() for _ in range(150)]
        serves()
        tap.true(ended(idle[0]), "the oldest is gone")
        for client in idle:
            client.close()


def drift(name, header, old, new):
    """What is heard on the port, and the log, of such a build."""
    kpop_login, mechanism = suite.drifted(
        os.path.join(scratch.name, name + "-build"), header, old, new)
    dovecot.stop()
    suite.place(kpop_login, mechanism)
    try:
        with own(name) as other, ap_req() as request:
            other.box("alice")
            with Kpop(other) as client:
                client.send(VERSIONS + frame(request.octets)
                            + b"USER alice\r\nPASS alice-password\r\n")
                try:
                    heard = client.rest()
                except ConnectionResetError:
                    heard = b""
            other.await_log("Fatal: ", seconds=10)
            return heard, other.log()
    finally:
        dovecot.stop()
        suite.place(*suite.ours())
        dovecot.start()


def build_against_other_headers_refuses_to_run():
    """A function more, as Debian's own update brought, and one less."""
    line = "\tvoid (*destroy)(struct client *client);\n"
    for name, new in (("longer", line + line.replace("destroy", "drift")),
                      ("shorter", "")):
        if name == "shorter":
            line = "\tbool (*input_next_cmd)(struct client *client);\n"
        heard, log = drift(name, "client-common.h", line, new)
        tap.equal(heard, b"", f"heard from the {name} build")
        tap.contains(log, "kpop-login was built for another build of Dovecot")
        tap.lacks(log, "PASS", "log")


def mechanism_of_other_headers_refuses_to_run():
    line = "\tstruct event *mech_event;\n"
    heard, log = drift("mechanism", "auth-request.h", line,
                       line + "\tvoid *drift;\n")
    tap.lacks(heard, b"+OK\r\n+OK", "heard")
    tap.contains(log,
                 "libmech_kpop.so was built for another build of Dovecot")


def no_program_of_dovecot_has_complained():
    """The last test: over all that the others did to the common server."""
    for pattern in ("Panic", "Fatal", "BUG", "unknown id", "assert",
                    "killed with signal", "misuse"):
        for line in dovecot.log().splitlines():
            tap.true(pattern not in line, line)


def ended(client):
    """The server has hung up, with a reset or without."""
    try:
        return client.socket.recv(1) == b""
    except ConnectionResetError:
        return True


if __name__ == "__main__":
    tap.main(globals(), before, after)
