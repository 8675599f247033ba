#!/usr/bin/env python3
# proxy.py - kpopd behind a proxy that tells the client's address by the PROXY
# protocol: headers octet by octet, and a real HAProxy.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import contextlib
import glob
import json
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time

from harness import net, tap

net.enter()

from harness import server as servers  # noqa: E402 (inside the network)
from harness import tls  # noqa: E402
from harness.maildir import Maildir  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import (Kpopd, check, kpopctl, passwords,  # noqa: E402
                            remembered)
from harness.wire import VERSIONS, Kpop, Line, Pop3, frame  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-proxy-")
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"
UNKNOWN = b"PROXY UNKNOWN\r\n"
CLIENT = "192.0.2.7"
STRANGER = "127.0.0.99"
realm = None
authority = None
counter = 0


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
def kpopd(start=True, **keys):
    global counter
    counter += 1
    directory = os.path.join(scratch.name, f"kpopd{counter}")
    keys.setdefault("haproxy_trusted_networks", f"127.0.0.1 {net.address()}")
    server = Kpopd(directory, realm, start=False, plaintext="always",
                   listen_pop3=f"{net.address()}:0",
                   listen_pop3s=f"{net.address()}:0",
                   tls_certificate=authority.file("server.pem"),
                   tls_key=authority.file("server.key"),
                   passwords="file:" + passwords(directory, "alice", "bob"),
                   **keys)
    for user in ("alice", "bob"):
        Maildir(server, user).fill(2)
    return server.start() if start else server


def v1(client=CLIENT, port=4711):
    return f"PROXY TCP4 {client} 192.0.2.1 {port} 110\r\n".encode()


def v2(client=CLIENT, port=4711, tlv=b""):
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    octets = socket.inet_pton(family, client)
    body = octets + octets + struct.pack(">HH", port, 110) + tlv
    return SIGNATURE + (b"\x21\x21" if ":" in client else b"\x21\x11") \
        + struct.pack(">H", len(body)) + body


def behind(server, header, service="pop3", **more):
    """A connection on which a header was sent."""
    line = Line(server.ports[service], **more)
    line.send(header)
    return line


def pop3(server, header):
    line = behind(server, header)
    tap.true(line.line().startswith("+OK"), "the greeting")
    return line


def log_in(line, user="alice"):
    line.ok(f"USER {user}")
    line.ok(f"PASS {user}-password")
    return line


def who(server):
    code, out, error = kpopctl(server.path, "-j", "who", env=server.env)
    tap.equal((code, error), (0, ""))
    return json.loads(out)["sessions"]


# ---- headers ----

def client_of_the_header_is_told_everywhere():
    headers = {v1(): CLIENT, v2(): CLIENT,
               v2("2001:db8::7", tlv=b"\x04\0\2xx"): "2001:db8::7",
               b"PROXY TCP6 2001:db8::8 2001:db8::1 4711 110\r\n":
               "2001:db8::8"}
    with kpopd() as server:
        for header, client in headers.items():
            mark = server.mark()
            with pop3(server, header) as line:
                line.ok("USER alice")
                line.err("PASS wrong", "-ERR [AUTH]")
                server.await_log(rf"event=auth\.fail .*peer={client} ", mark)
                log_in(line)
                tap.equal([(s["address"], s["port"]) for s in who(server)],
                          [(client, 4711)])
                line.ok("QUIT")
                tap.equal(line.rest(), b"")
            server.await_log(
                rf"event=session\.end .*peer={client} .*via=127\.", mark)


def header_comes_in_single_octets_and_with_what_follows():
    with kpopd() as server:
        for header in (v1(), v2(), v2(tlv=b"\x04\1\x90" + 400 * b"x")):
            line = Line(server.ports["pop3"])
            with line:
                line.send(header, one_by_one=True)
                line.send(b"CAPA\r\n")
                tap.true(line.line().startswith("+OK"), "the greeting")
                tap.contains(line.line(), "+OK")
                line.lines()
            with behind(server, header + b"USER alice\r\nPASS "
                        b"alice-password\r\nSTAT\r\nQUIT\r\n") as line:
                tap.equal(line.rest().count(b"+OK"), 5, "answers")


def proxy_that_tells_no_client_counts_itself():
    with kpopd() as server:
        for header in (UNKNOWN, LOCAL, SIGNATURE + b"\x21\0\0\0"):
            with log_in(pop3(server, header)) as line:
                tap.true(who(server)[0]["address"].startswith("127."),
                         who(server))
                line.ok("QUIT")
                line.rest()


def what_is_no_header_is_closed_without_a_word():
    junk = [b"CAPA\r\n", b"\x16\x03\x01\x02\0", b"PROXY TCP4 x\r\n",
            b"PROXY " + 200 * b"x", SIGNATURE + b"\x31",
            SIGNATURE + b"\x21\x11\xff\xff", b"\0", b"PROXY UNKNOWN\n"]
    with kpopd() as server:
        for octets in junk:
            mark = server.mark()
            with behind(server, octets) as line:
                closed(line)
            server.await_log(r"event=session\.proxy .*haproxy_services",
                             mark)
        mark = server.mark()
        with behind(server, b"PROXY TCP4 ") as line:
            line.half_close()
            tap.equal(line.rest(), b"")
        server.await_log(r"event=session\.proxy .*before its header", mark)
        log_in(pop3(server, v1())).close()


@tap.helper
def closed(line):
    """Nothing comes; a reset is good, as octets were left unread."""
    try:
        tap.equal(line.rest(), b"")
    except ConnectionResetError:
        pass


def silent_proxy_is_closed_in_time():
    with kpopd(login_timeout=1) as server:
        with Line(server.ports["pop3"]) as silent, \
                behind(server, v1()[:20]) as half:
            tap.equal(silent.rest() + half.rest(), b"")
        server.await_log(r"event=session\.proxy .*in time")


# ---- who may connect ----

def stranger_is_refused_before_a_word():
    with kpopd() as server:
        with behind(server, v1(), source=STRANGER) as line:
            closed(line)
        server.await_log(rf"event=session\.proxy .*service=pop3 "
                         rf"peer={STRANGER} .*haproxy_trusted_networks")
        tap.equal("session.start" in server.log(), False, "it got in")


def only_the_listed_services_are_behind_the_proxy():
    with kpopd(haproxy_services="pop3s") as server:
        with Pop3(server, source=STRANGER) as direct:
            log_in(direct)
            tap.equal(who(server)[0]["address"], STRANGER)
        with Line(server.ports["pop3s"], source=STRANGER) as line:
            closed(line)


def header_that_nobody_expects_is_told_to_the_admin():
    with kpopd(haproxy_trusted_networks="") as server:
        for service in ("pop3", "pop3s", "kpop"):
            for header in (v1(), v2()):
                mark = server.mark()
                with behind(server, header, service):
                    server.await_log(r"event=session\.proxy .*session=\S+ "
                                     ".*nothing here expects", mark)
        mark = server.mark()
        with Pop3(server) as line:
            line.err("NOOP")
            line.send(v1())
            tap.contains(line.line(), "-ERR")
        server.await_log(r"event=session\.end ", mark)
        tap.lacks(server.log(mark), "session.proxy", "no first octets")


def limits_count_the_client_and_not_the_proxy():
    with kpopd(max_sessions_per_ip=2) as server, \
            contextlib.ExitStack() as stack:
        def one(header, user):
            return log_in(stack.enter_context(pop3(server, header)), user)
        one(v1("192.0.2.7"), "alice")
        silent = stack.enter_context(pop3(server, v1("192.0.2.7")))
        mark = server.mark()
        one(v1("192.0.2.7"), "bob")
        tap.equal(silent.rest(), b"", "the oldest before login")
        tap.await_(lambda: [s["user"] for s in who(server)] == ["alice",
                                                                "bob"],
                   "the master knows of both")
        with behind(server, v2("192.0.2.7")) as third:
            tap.contains(third.line(), "-ERR [SYS/TEMP] too many")
            tap.equal(third.rest(), b"")
        server.await_log(r"event=session\.refused .*peer=192\.0\.2\.7 "
                         r".*via=127\.", mark)
        pop3(server, v2("192.0.2.8")).close()


def silent_connections_of_a_proxy_keep_nobody_out():
    with kpopd(max_unauthenticated=5) as server, \
            contextlib.ExitStack() as stack:
        mute = [stack.enter_context(Line(server.ports["pop3"]))
                for _ in range(20)]
        log_in(stack.enter_context(pop3(server, v1())))
        for line in mute[:15]:
            tap.equal(line.rest(), b"")


def wrong_networks_are_told():
    server = kpopd(start=False, haproxy_trusted_networks="proxy.example")
    code, text = check(server.path, env=server.env)
    tap.equal(code, 1)
    tap.contains(text, "haproxy_trusted_networks: proxy.example is no "
                 "network")
    server = kpopd(start=False, haproxy_services="")
    code, text = check(server.path, env=server.env)
    tap.equal(code, 1)
    tap.contains(text, "haproxy_services: a value is needed")


# ---- the other protocols behind it ----

def tls_and_kerberos_begin_behind_the_header():
    made = tls.context(authority.path)
    with kpopd() as server, ApReq(realm, ccache=realm.ccache("alice")) as req:
        with behind(server, v2(), "pop3s") as line:
            tls.secure(line, made)
            tap.true(line.line().startswith("+OK"), "the greeting")
            log_in(line)
            tap.equal(who(server)[0]["address"], CLIENT)
        with Kpop(server) as line:
            line.send(v1())
            line.handshake(req.octets)
            line.login("alice")
            tap.equal(line.command("STAT")[:5], "+OK 2")
        server.await_log(rf"event=auth\.ok .*peer={CLIENT} .*service=kpop")


def first_flight_comes_in_the_segment_of_the_header():
    with kpopd() as server, ApReq(realm, ccache=realm.ccache("alice")) as req:
        with behind(server, b"", "pop3s") as line:
            client = tls.Memory(tls.context(authority.path))
            line.send(v2() + client.hello())
            client.incoming.write(line.socket.recv(65536))
            client.shake(line)
            tap.contains(client.answer(line), "+OK")
        with Kpop(server) as line:
            line.send(v1() + VERSIONS + frame(req.octets))
            tap.equal(line.read(5), 5 * b"\0", "the handshake's answer")
            tap.contains(line.line(), "+OK")
            tap.contains(line.login("alice"), "+OK")


def addresses_in_a_ticket_are_those_of_the_client():
    with kpopd(check_addresses="yes") as server:
        for client, answer in ((CLIENT, b"\0\0\0\0"), ("192.0.2.8", None)):
            with ApReq(realm, keytab=realm.env["REALM_USERS"], user="alice",
                       addresses=CLIENT) as req, \
                    behind(server, v1(client), "kpop") as line:
                line.send(VERSIONS + frame(req.octets))
                tap.equal(line.read(1), b"\0", "answer to the versions")
                if answer:
                    tap.equal(line.read(4), answer, "a good ticket")
                    continue
                tap.equal(req.error(line.framed())[0], 38, "another's ticket")


# ---- hostile clients ----

def header_forges_no_line_of_the_log():
    forged = b"\n198.51.100.9 peer=198.51.100.9 event=auth.ok\n"
    junk = b"PROXY TCP4 " + forged[1:-1] + b" 1 2\r\n"
    local = struct.pack(">H", 216) + forged.ljust(216, b"\0")
    with kpopd() as server:
        for header in (b"PROXY UNKNOWN " + forged[1:-1] + b"\r\n",
                       v2(tlv=b"\2" + struct.pack(">H", len(forged))
                          + forged),
                       SIGNATURE + b"\x21\x31" + local):
            pop3(server, header).close()
        with behind(server, junk) as line:
            closed(line)
        server.await_log(r"event=session\.proxy")
        tap.lacks(server.log(), "198.51.100", "log")


def second_header_is_of_the_client_and_no_header():
    other = "198.51.100.9"
    with kpopd() as server:
        with pop3(server, v1()) as line:
            line.err(v1(other).decode().rstrip())
            log_in(line)
            tap.equal(who(server)[0]["address"], CLIENT)
        for service in ("pop3s", "kpop"):
            for header in (v1(other), v2(other)):
                mark = server.mark()
                with behind(server, v2() + header, service) as line:
                    line.half_close()
                    with contextlib.suppress(ConnectionResetError):
                        line.rest()
                server.await_log(rf"event=session\.end .*peer={CLIENT} ",
                                 mark)
        tap.lacks(server.log(), other, "log")


def header_buys_no_time_for_the_login():
    """One that comes in drops and late, and one that never ends."""
    with kpopd(login_timeout=3) as server:
        start = time.monotonic()
        late = behind(server, b"")
        endless = behind(server, b"PROXY UNKNOWN ")
        with late, endless:
            for octet in v1():
                answers = select.select([late.socket, endless.socket], [], [],
                                        2 / len(v1()))
                tap.equal(answers[0], [], "a word before the header's end")
                late.send(bytes([octet]))
                endless.send(b"x")
            tap.contains(late.line(), "+OK")
            late.rest()
            closed(endless)
            took = time.monotonic() - start
        tap.true(2.5 < took < 3 + 1.5 * tap.SLOW, f"it took {took:.1f} s")
        server.await_log(r"event=session\.proxy .*no whole header")
        server.await_log(rf"event=session\.end .*peer={CLIENT} ")


def guesses_slow_down_the_client_and_not_the_proxy():
    with kpopd(login_failure_delay=1) as server:
        with pop3(server, v1()) as line:
            for _ in range(2):
                line.ok("USER alice")
                line.err("PASS wrong", "-ERR [AUTH]")
        mark = server.mark()
        log_in(pop3(server, v1("192.0.2.8")), "bob").close()
        tap.lacks(server.log(mark), "auth.slowed", "log")
        with pop3(server, v2(CLIENT)) as line:
            line.ok("USER carol")
            line.err("PASS wrong", "-ERR [AUTH]")
        server.await_log(rf"event=auth\.slowed .*peer={CLIENT} ", mark)


def flood_of_local_headers_has_the_limit_of_one_address():
    with kpopd(max_sessions_per_ip=2) as server, \
            contextlib.ExitStack() as stack:
        flood = [stack.enter_context(pop3(server, header))
                 for header in 3 * (LOCAL, UNKNOWN)]
        for line in flood[:4]:
            tap.equal(line.rest(), b"", "the oldest go")
        log_in(stack.enter_context(pop3(server, v1())))
        tap.equal(len(who(server)), 3, "sessions")


def password_behind_the_header_is_not_remembered():
    wanted = [b"alice-password", b"alice-passworm"]
    with kpopd() as server:
        with behind(server, v1() + b"USER alice\r\nPASS alice-passworm\r\n"
                    b"USER alice\r\nPASS alice-password\r\nSTAT\r\n") as line:
            while not line.line().startswith("+OK 2"):
                pass
            with behind(server, b"USER alice\r\nPASS alice-password\r\n"
                        ) as junk:
                closed(junk)
            server.await_log(r"event=session\.proxy")
            if not tap.PLAIN:
                return  # a checker keeps what was freed
            for pid in server.children("worker"):
                tap.true(remembered(pid, [server.directory.encode()]),
                         "what stays is found")
                tap.equal(remembered(pid, wanted), [], f"in worker {pid}")


# ---- the time before the verdict ----

@tap.helper
def unread(server, service="pop3"):
    """Connections of a listener with octets that nobody has read."""
    port = f":{server.ports[service]:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    return sum(1 for row in rows if row[1].endswith(port) and row[3] == "01"
               and not row[4].endswith(":00000000"))


@contextlib.contextmanager
def held_up(server):
    """The master, which then judges nobody."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def many_headers_at_once_are_all_answered():
    count = 900
    with kpopd(workers=1, max_unauthenticated=count,
               login_timeout=60) as server, contextlib.ExitStack() as stack:
        lines = [stack.enter_context(behind(server, b""))
                 for _ in range(count)]
        tap.await_(lambda: len(who(server)) == count, "all are taken")
        with held_up(server):
            for line in lines:
                line.send(v1())
            tap.await_(lambda: unread(server) == 0, "the worker has asked")
        for line in lines:
            tap.contains(line.line(), "+OK")


def worker_that_dies_with_a_question_open_takes_nobody_along():
    with kpopd(max_unauthenticated=1) as server:
        with behind(server, v1()) as line:
            line.line()
        old = server.children("worker")
        with behind(server, b"") as line:
            tap.await_(lambda: len(who(server)) == 1, "it is taken")
            with held_up(server):
                line.send(v1())
                tap.await_(lambda: unread(server) == 0, "it is asked for")
                for pid in old:
                    server.kill(pid)
            closed(line)
        server.await_other("worker", old)
        log_in(pop3(server, v1())).close()


def connection_without_a_header_ends_as_others_do():
    with kpopd(login_timeout=60) as server:
        with behind(server, v1()[:9]) as mute:
            tap.await_(lambda: len(who(server)) == 1, "it is taken")
            session = who(server)[0]["session"]
            code, _, error = kpopctl(server.path, "kick", session,
                                     env=server.env)
            tap.equal((code, error), (0, ""))
            closed(mute)
        with behind(server, v1()[:9]) as late:
            tap.await_(lambda: len(who(server)) == 1, "it is taken")
            old = server.children("worker")
            server.configure(haproxy_trusted_networks=None)
            server.reload()
            tap.await_(lambda: len(set(server.children("worker")) - set(old))
                       == 2, "new workers")
            late.send(v1()[9:])
            tap.contains(late.line(), "+OK")
            log_in(late)
            tap.equal(who(server)[0]["address"], CLIENT)
        server.configure(haproxy_trusted_networks="127.0.0.0/8")
        mark = server.mark()
        server.reload()
        server.await_log(r"event=process\.ready", mark)
        with behind(server, v1()[:9]) as mute:
            tap.await_(lambda: len(who(server)) == 1, "it is taken")
            start = time.monotonic()
            server.stop()
            took = time.monotonic() - start
            tap.true(took < 3 * tap.SLOW, f"the stop took {took:.1f} s")
            closed(mute)


# ---- HAProxy ----

class Haproxy:
    """One before each of a kpopd's listeners; .ports as kpopd has them."""

    def __init__(self, server, send):
        unpacked = os.path.join(net.BUILD, "unpacked/usr")
        program = os.path.join(unpacked, "sbin/haproxy")
        if not os.path.exists(program):
            raise tap.Skip("haproxy is not unpacked")
        self.path = os.path.join(server.directory, "haproxy")
        self.ports = {}
        with open(self.path + ".cfg", "w", encoding="ascii") as out:
            out.write("defaults\n  mode tcp\n  timeout connect 10s\n"
                      "  timeout client 60s\n  timeout server 60s\n")
            for service in ("kpop", "pop3", "pop3s"):
                with socket.create_server((net.address(), 0)) as free:
                    self.ports[service] = free.getsockname()[1]
                out.write(f"listen {service}\n"
                          f"  bind {net.address()}:{self.ports[service]}\n"
                          f"  server one {net.address()}:"
                          f"{server.ports[service]} {send}\n")
        libraries = ":".join(glob.glob(os.path.join(unpacked,
                                                    "lib/*-linux-gnu*")))
        with open(self.path + ".log", "wb") as log:
            self.process = subprocess.Popen(
                [program, "-db", "-f", self.path + ".cfg"], stdout=log,
                stderr=log, env=dict(os.environ, LD_LIBRARY_PATH=libraries))
        tap.await_(self._listens, lambda: "haproxy listens\n"
                   + open(self.path + ".log", encoding="utf-8").read())

    def _listens(self):
        with contextlib.suppress(ConnectionRefusedError):
            for port in self.ports.values():
                socket.create_connection((net.address(), port)).close()
            return True
        return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def haproxy_serves_every_listener():
    made = tls.context(authority.path)
    source = "127.0.0.77"
    for send in ("send-proxy", "check send-proxy-v2",
                 "send-proxy-v2 proxy-v2-options crc32c"):
        with kpopd() as server, Haproxy(server, send) as front, \
                ApReq(realm, ccache=realm.ccache("alice")) as req:
            mark = server.mark()
            with Pop3(front, source=source) as line:
                log_in(line, "bob")
                tap.equal(len(line.multi("RETR 1")) > 1, True, "the mail")
                tap.contains([s["address"] for s in who(server)], source)
            with tls.Pop3s(front, made, source=source) as line:
                log_in(line, "bob")
            with Kpop(front, source=source) as line:
                line.handshake(req.octets)
                tap.contains(line.login("alice"), "+OK")
            for service in ("pop3", "pop3s", "kpop"):
                server.await_log(rf"event=auth\.ok .*peer={source} "
                                 rf".*service={service} ", mark)


tap.main(globals(), before, after)
