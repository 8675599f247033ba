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
import socket
import struct
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness import server as servers  # noqa: E402 (inside the network)
from harness import tls  # noqa: E402
from harness.maildir import Maildir  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd, check, kpopctl, passwords  # noqa: E402
from harness.wire import Kpop, Line, Pop3  # noqa: E402

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
    for send in ("send-proxy", "send-proxy-v2", "check send-proxy-v2"):
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
