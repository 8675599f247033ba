#!/usr/bin/env python3
# tls.py - STLS and POP3S on the wire and by real programs: what is allowed,
# what is forgotten, what ends a session, and that nothing is lost or done when
# it does.
# TIME-LIMIT: 300
#
# SPDX-License-Identifier: MIT
import base64
import ctypes
import hashlib
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import time

from harness import net, tap

net.enter()

from harness import sasl, tls  # noqa: E402 (inside the network)
from harness.clients import Fetchmail  # noqa: E402
from harness.maildir import Maildir  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd, memory, passwords, secrets  # noqa: E402
from harness.wire import Kpop, Line, Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-tls-")
realm = None
kpopd = None
authority = None
trusting = None
counter = 0

LOGIN_TIMEOUT = 3


@tap.helper
def before():
    global realm, kpopd, authority, trusting
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    authority = tls.Authority(os.path.join(scratch.name, "ca"))
    trusting = tls.context(authority.path)
    # fetchmail looks at addresses in the common name alone.
    authority.sign("server", net.host(), "IP:127.0.0.1",
                   subject=f"/CN={net.host()}")
    authority.sign("other", "other.example.org")
    kpopd = server("kpopd", listen_kpop=f"{net.address()}:1109")
    for user in ("alice", "bob"):
        Maildir(kpopd, user)


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


def path(name):
    return os.path.join(authority.directory, name)


def server(name, **keys):
    directory = os.path.join(scratch.name, name)
    settings = {
        "listen_pop3": f"{net.address()}:0",
        "listen_pop3s": f"{net.address()}:0",
        "tls_certificate": f"{path('server.pem')} {path('other.pem')}",
        "tls_key": f"{path('server.key')} {path('other.key')}",
        "passwords": "file:" + passwords(directory, "alice", "bob"),
        "secrets": "file:" + secrets(directory, "alice", "bob"),
    }
    settings.update(keys)
    return Kpopd(directory, realm, **settings)


def box(user="alice", count=2):
    return Maildir(kpopd, user).empty().fill(count)


def stls(client, context=None):
    client.ok("STLS")
    tap.equal(client.buffer, b"", "octets behind the answer to STLS")
    return tls.secure(client, context or trusting)


def login(client, user="alice"):
    def attempt():
        client.ok(f"USER {user}")
        answer = client.command(f"PASS {user}-password")
        tap.true(answer.startswith(("+OK", "-ERR [IN-USE]")), answer)
        return answer.startswith("+OK")
    tap.await_(attempt, "the maildrop is free")


def serves():
    with tls.Pop3s(kpopd, trusting) as client:
        client.ok("QUIT")


# ---- STLS ----

def r25_1_stls_starts_tls():
    box()
    with Pop3(kpopd) as client:
        tap.contains(client.multi("CAPA"), "STLS", "CAPA in the clear")
        stls(client)
        tap.contains(client.multi("CAPA"), "USER", "CAPA inside TLS")
        login(client)
        tap.true(client.ok("STAT").startswith("+OK 2 "), "messages")
        client.ok("QUIT")
        tap.equal(client.rest(), b"", "octets behind the last answer")


def r25_3_stls_twice_is_refused():
    with Pop3(kpopd) as client:
        stls(client)
        client.err("STLS")
    with tls.Pop3s(kpopd, trusting) as client:
        client.err("STLS")


def r25_4_stls_is_not_listed_under_tls():
    with tls.Pop3s(kpopd, trusting) as client:
        tap.lacks(client.multi("CAPA"), "STLS", "CAPA")
    with Pop3(kpopd) as client:
        stls(client)
        tap.lacks(client.multi("CAPA"), "STLS", "CAPA")


def r25_5_octets_behind_stls_are_never_commands():
    """CVE-2011-0411: they end the session, TLS or not."""
    mark = kpopd.mark()
    with Pop3(kpopd) as client:
        client.send(b"STLS\r\nUSER alice\r\nNOOP\r\n")
        tap.true(b"now PASS" not in client.rest(), "USER was not taken")
    kpopd.await_log(r"session\.end .*reason=input-before-tls", mark)
    with Pop3(kpopd) as client:
        hello = tls.Memory(trusting).hello()
        client.send(b"STLS\r\n" + hello)
        tap.lacks(client.rest(), b"\x16\x03", "no handshake either")


def r25_6_nothing_is_remembered():
    box()
    with Pop3(kpopd) as client:
        client.err("USER alice", "-ERR [AUTH]")
        stls(client)
        client.err("PASS alice-password")
        login(client)


def r25_7_greeting_is_not_repeated():
    with Pop3(kpopd) as client:
        stls(client)
        client.send(b"QUIT\r\n")
        tap.equal(client.rest(), b"+OK bye\r\n", "all that came inside TLS")


def r25_8_failed_handshake_closes():
    mark = kpopd.mark()
    with Pop3(kpopd) as client:
        client.ok("STLS")
        client.send(b"USER alice\r\nPASS alice-password\r\n")
        tap.equal(client.rest()[:2], b"\x15\x03", "an alert and the end")
    kpopd.await_log(r"tls\.fail .*during=handshake", mark)


def r25_10_required_tls_comes_first():
    with server("required", tls="required", mechanisms="GSSAPI PLAIN USER "
                "APOP CRAM-MD5", listen_pop3s=None) as other:
        Maildir(other, "alice").fill(1)
        with Pop3(other) as client:
            capa = client.multi("CAPA")
            tap.contains(capa, "STLS")
            tap.equal([c for c in capa if c.startswith(("USER", "SASL"))],
                      [], "ways to log in")
            for text in ("USER alice", "PASS x", "AUTH", "AUTH CRAM-MD5",
                         "AUTH GSSAPI", "APOP alice " + 32 * "0"):
                client.err(text, "-ERR [AUTH] TLS required")
            stls(client)
            login(client)
        with ApReq(realm, ccache=realm.ccache("alice")) as request, \
                Kpop(other) as client:
            client.handshake(request.octets)
            client.err("USER alice", "-ERR [AUTH] TLS required")


def r50_13_passwords_need_tls():
    with Pop3(kpopd) as client:
        capa = client.multi("CAPA")
        tap.equal([c for c in capa if c == "USER"
                   or "PLAIN" in c.split()], [], "before TLS")
        client.err("AUTH PLAIN AGFsaWNlAHg=", "-ERR [AUTH]")
        stls(client)
        capa = client.multi("CAPA")
        tap.contains(capa, "USER")
        tap.true(any("PLAIN" in c.split() for c in capa), f"{capa}")


def r50_12_plain_inside_tls():
    box()
    plain = "AUTH PLAIN AGFsaWNlAGFsaWNlLXBhc3N3b3Jk"
    with tls.Pop3s(kpopd, trusting) as client:
        client.ok(plain)
        client.ok("QUIT")


def stls_without_certificate_tells_fetchmail_users():
    with server("bare", tls_certificate=None, tls_key=None,
                listen_pop3s=None) as other:
        with Pop3(other) as client:
            tap.lacks(client.multi("CAPA"), "STLS")
            tap.contains(client.err("STLS"), 'sslproto ""')


# ---- KPOP ----

def kpop_ticket_survives_stls():
    box()
    with ApReq(realm, ccache=realm.ccache("alice")) as request, \
            Kpop(kpopd) as client:
        client.handshake(request.octets)
        tap.contains(client.multi("CAPA"), "STLS")
        client.ok("USER bob")
        stls(client)
        client.err("PASS x")
        tap.true(client.login("alice").startswith("+OK"), "login")
        client.ok("STAT")


def kpop_stls_can_be_off():
    with server("kpop-off", kpop_stls="no", tls="required",
                listen_pop3s=None) as other:
        Maildir(other, "alice").fill(1)
        with ApReq(realm, ccache=realm.ccache("alice")) as request, \
                Kpop(other) as client:
            client.handshake(request.octets)
            tap.lacks(client.multi("CAPA"), "STLS")
            client.err("STLS")
            tap.true(client.login("alice").startswith("+OK"), "login")


# ---- the wrong port ----

def r25_9_plain_text_on_the_tls_port_gets_an_alert():
    mark = kpopd.mark()
    with Line(kpopd.ports["pop3s"]) as client:
        client.send(b"USER alice\r\n")
        tap.equal(client.rest(), b"\x15\x03\x01\x00\x02\x02\x0a", "alert")
    kpopd.await_log(r"tls\.fail .*service=pop3s .*not TLS", mark)


def r25_9_client_hello_on_the_plain_port_gets_a_sentence():
    mark = kpopd.mark()
    with Pop3(kpopd) as client:
        client.send(tls.Memory(trusting).hello())
        tap.contains(client.rest(), b"-ERR this port speaks POP3 in the clear")
    kpopd.await_log(r"session\.end .*reason=tls-on-clear-port", mark)


# ---- what is spoken ----

def r25_12_only_tls_1_2_and_1_3():
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        made = tls.context(authority.path, minimum_version=version,
                           maximum_version=version)
        with tls.Pop3s(kpopd, made) as client:
            tap.equal(client.socket.version(),
                      version.name.replace("_", "."), "version")
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        made = tls.context(authority.path)
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = version
        made.maximum_version = version
        _refused(made, version.name)


def _refused(made, what):
    try:
        tls.Pop3s(kpopd, made).close()
    except ssl.SSLError:
        return
    raise tap.Failure(f"{what} was spoken")


def r25_12_weak_ciphers_are_refused():
    for name in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA",
                 "ECDHE-ECDSA-AES128-SHA256"):
        made = tls.context(authority.path,
                           maximum_version=ssl.TLSVersion.TLSv1_2)
        made.set_ciphers(name + ":@SECLEVEL=0")
        _refused(made, name)


def r25_12_server_name_chooses_the_certificate():
    for name, want in ((net.host(), net.host()),
                       ("other.example.org", "other"),
                       ("elsewhere.example.org", net.host()),
                       (None, net.host())):
        with tls.Pop3s(kpopd, trusting, name) as client:
            subject = dict(pair for part in client.socket.getpeercert()
                           ["subject"] for pair in part)
            tap.equal(subject["commonName"], want, f"for {name}")


def alpn_is_pop3_or_nothing():
    for offer, want in ((["pop3"], "pop3"), (["http/1.1", "pop3"], "pop3"),
                        (["http/1.1"], None)):
        made = tls.context(authority.path)
        made.set_alpn_protocols(offer)
        with tls.Pop3s(kpopd, made) as client:
            tap.equal(client.socket.selected_alpn_protocol(), want,
                      f"for {offer}")


def r25_13_version_cipher_and_name_are_logged():
    mark = kpopd.mark()
    with tls.Pop3s(kpopd, trusting, "other.example.org") as client:
        client.ok("QUIT")
    kpopd.await_log(r"tls\.start .*service=pop3s version=TLSv1\.3 "
                    r"cipher=TLS_\S+ server_name=other\.example\.org "
                    r"resumed=no", mark)


# ---- attacks and accidents ----

def hello_of_16_kib_in_single_octets():
    """Padding that no client would send, in one-octet segments."""
    with Line(kpopd.ports["pop3s"], seconds=30) as client:
        hello = tls.Memory(trusting).hello()
        body = hello[9:]  # behind the heads of record and message
        at = 34 + 1 + body[34]
        at += 2 + struct.unpack(">H", body[at:at + 2])[0]
        at += 1 + body[at]
        size = 16384 - 4 - 4 - len(body)  # a record holds no more
        name = struct.pack(">HH", 0xfafa, size) + bytes(size)  # RFC 8701
        extensions = name + body[at + 2:]
        body = body[:at] + struct.pack(">H", len(extensions)) + extensions
        message = b"\x01" + len(body).to_bytes(3, "big") + body
        tap.equal(len(message), 16384, "octets of the hello")
        client.send(b"\x16\x03\x01" + struct.pack(">H", len(message))
                    + message, one_by_one=True)
        tap.equal(client.read(3)[:1], b"\x16", "the server's hello")
    serves()


def handshake_in_single_octets():
    with Line(kpopd.ports["pop3s"]) as client:
        carried = tls.Memory(trusting).shake(client, 1)
        tap.contains(carried.answer(client), "+OK")
        for octet in carried.record(b"QUIT\r\n"):
            client.send(bytes([octet]))
        tap.contains(carried.answer(client), "+OK")


def _stall(other, made, flights, part):
    """A client that says so many flights, the last of them in part."""
    line = Line(other.ports["pop3s"])
    client = tls.Memory(made)
    for left in range(flights, 0, -1):
        octets = client.flight()
        line.send(octets if left > 1 or part is None else octets[:part])
        if left > 1:
            client.incoming.write(line.socket.recv(65536))
    return line


def handshake_that_stalls_at_any_flight_meets_the_login_deadline():
    """Counted from the connection, whatever comes meanwhile."""
    with server("slow", login_timeout=LOGIN_TIMEOUT) as other:
        begun = time.monotonic()
        stalled = [Line(other.ports["pop3s"]), Pop3(other)]
        stalled[1].ok("STLS")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            made = tls.context(authority.path, minimum_version=version,
                               maximum_version=version)
            stalled += [_stall(other, made, flights, part)
                        for flights in (1, 2) for part in (1, 7, 30, None)]
        for client in stalled:
            client.rest()
            client.close()
        took = time.monotonic() - begun
        tap.true(LOGIN_TIMEOUT - 1 < took < (LOGIN_TIMEOUT + 4) * tap.SLOW,
                 f"ended after {took} s")
        ends = re.findall(r"session\.end .*reason=(\S+)", other.log())
        tap.equal(set(ends), {"timeout"}, "why they ended")


def stop_in_the_handshake_waits_for_nobody():
    with server("stopped") as other:
        mark = other.mark()
        with Line(other.ports["pop3s"]) as client:
            client.send(tls.Memory(trusting).hello()[:50])
            other.await_log(r"session\.start .*service=pop3s", mark)
            begun = time.monotonic()
            other.stop()
            tap.equal(client.rest(), b"", "nothing in the clear")
            took = time.monotonic() - begun
            tap.true(took < 10 * tap.SLOW, f"the stop took {took:.1f} s")


def garbage_in_the_session_ends_it_and_deletes_nothing():
    maildir = box()
    before_ = maildir.names()
    mark = kpopd.mark()
    with Line(kpopd.ports["pop3s"]) as client:
        carried = tls.Memory(trusting).shake(client)
        carried.answer(client)
        client.send(carried.record(b"USER alice\r\nPASS alice-password\r\n"
                                   b"DELE 1\r\n"))
        for _ in range(3):
            tap.contains(carried.answer(client), "+OK")
        quit_ = bytearray(carried.record(b"QUIT\r\n"))
        quit_[-1] ^= 1
        client.send(bytes(quit_))
        client.rest()
    kpopd.await_log(r"tls\.fail .*during=session", mark)
    tap.equal(maildir.names(), before_, "messages")


def renegotiation_is_refused():
    """TLS 1.2 by openssl: R asks for it."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect",
         f"{net.address()}:{kpopd.ports['pop3s']}", "-tls1_2"],
        input=b"R\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=20 * tap.SLOW, check=False)
    text = done.stdout.decode("utf-8", "backslashreplace")
    tap.contains(text, "RENEGOTIATING")
    tap.contains(text, "no renegotiation")


def r25_15_truncation_without_quit_deletes_nothing():
    maildir = box()
    before_ = maildir.names()
    mark = kpopd.mark()
    client = tls.Pop3s(kpopd, trusting)
    login(client)
    client.ok("DELE 1")
    socket.socket.close(client.socket)
    kpopd.await_log(r"session\.end .*reason=(eof|hangup)", mark)
    tap.equal(maildir.names(), before_, "messages")


def r25_15_quit_then_truncation_commits():
    maildir = box()
    with Line(kpopd.ports["pop3s"]) as client:
        carried = tls.Memory(trusting).shake(client)
        carried.answer(client)
        client.send(carried.record(b"USER alice\r\nPASS alice-password\r\n"
                                   b"DELE 1\r\nDELE 2\r\nQUIT\r\n"))
    tap.await_(lambda: maildir.names() == [], "both messages are deleted")


def end_of_a_session_is_said_by_close_notify():
    with tls.Pop3s(kpopd, trusting) as client:
        client.socket.suppress_ragged_eofs = False
        client.ok("QUIT")
        tap.equal(client.rest(), b"", "the end in good order")


def large_message_arrives_whole():
    body = "x" * 70 + "\n"
    maildir = Maildir(kpopd, "alice").empty()
    maildir.deliver("S: big\n\n" + body * 40000)
    with tls.Pop3s(kpopd, trusting) as client:
        login(client)
        lines = client.multi("RETR 1")
        tap.equal(len(lines), 40002, "lines")
        client.ok("QUIT")


# ---- tickets and reload ----

def every_ticket_resumes_whatever_worker_it_meets():
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        made = tls.context(authority.path, maximum_version=version)
        session = None
        for i in range(20):
            with tls.Pop3s(kpopd, made, session=session) as client:
                if session is not None:
                    tap.true(client.socket.session_reused,
                             f"connection {i} resumes by {version.name}")
                client.ok("QUIT")
                session = client.socket.session
        if version == ssl.TLSVersion.TLSv1_3:
            _resumes_after_a_reload(made, session)


def _resumes_after_a_reload(made, session):
    mark = kpopd.mark()
    kpopd.reload()
    kpopd.await_log(r"event=process\.ready", mark)
    with tls.Pop3s(kpopd, made, session=session) as client:
        tap.true(client.socket.session_reused, "resumes after a reload")


def _serial(other):
    with tls.Pop3s(other, trusting) as client:
        client.ok("QUIT")
        return client.socket.getpeercert()["serialNumber"]


def _replace(pair, files, directory):
    """As an ACME client does: written beside it, then renamed."""
    for source, name in zip(pair, files):
        new = os.path.join(directory, name + ".new")
        shutil.copy(source, new)
        os.chmod(new, 0o600)
        os.rename(new, os.path.join(directory, name))


def r25_12_changed_certificate_is_taken_and_a_broken_one_is_not():
    directory = os.path.join(scratch.name, "changing")
    os.makedirs(directory)
    files = ("now.pem", "now.key")
    _replace((path("server.pem"), path("server.key")), files, directory)
    with server("reload", tls_certificate=os.path.join(directory, files[0]),
                tls_key=os.path.join(directory, files[1])) as other:
        Maildir(other, "alice").fill(1)
        old = _serial(other)
        with tls.Pop3s(other, trusting) as running:
            login(running)
            mark = other.mark()
            _replace(authority.sign("new", net.host()), files, directory)
            other.await_log(r"event=config\.certificates", mark)
            other.await_log(r"event=process\.ready", mark)
            new = _serial(other)
            tap.true(new != old, "the new certificate is served")
            running.ok("NOOP")
            running.ok("QUIT")
        _is_kept(other, directory, new)


def _is_kept(other, directory, serial):
    """Whatever is wrong with the files, the certificate is served on."""
    right = (path("new.pem"), path("new.key"))
    for pair, why in (((path("new.pem"), path("other.key")),
                       "is not the key of the certificate"),
                      ((path("other.ext"), path("new.key")), "holds no certificate"),
                      ((path("new.pem"), path("other.ext")), "tls_key")):
        mark = other.mark()
        _replace(pair, ("now.pem", "now.key"), directory)
        other.await_log(r"event=config\.refused .*" + why, mark)
        tap.equal(_serial(other), serial, "served after: " + why)
        _replace(right, ("now.pem", "now.key"), directory)
        other.await_log(r"event=process\.ready", mark)


def key_that_others_may_read_is_warned_of():
    directory = os.path.join(scratch.name, "open")
    os.makedirs(directory)
    shutil.copy(path("server.key"), os.path.join(directory, "key"))
    os.chmod(os.path.join(directory, "key"), 0o644)
    with server("careless", tls_certificate=path("server.pem"),
                tls_key=os.path.join(directory, "key")) as other:
        other.await_log(r"event=config\.tls level=warning .*others may read")


# ---- scanners ----

def nmap_gives_every_cipher_an_a():
    """Of both versions, with a certificate of P-256 and of RSA."""
    if not shutil.which("nmap"):
        raise tap.Skip("nmap is not installed")
    authority.sign("rsa", net.host(), kind=("-newkey", "rsa:2048", "-nodes"))
    for name in ("server", "rsa"):
        with server("nmap-" + name, tls_certificate=path(name + ".pem"),
                    tls_key=path(name + ".key")) as other:
            done = subprocess.run(
                ["nmap", "-Pn", "-n", "-sT", "-p", str(other.ports["pop3s"]),
                 "--script", "+ssl-enum-ciphers", net.address()],
                check=False, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=60 * tap.SLOW)
        tap.contains(done.stdout, "least strength: A\n")
        grades = re.findall(r"^\| +TLS_\w+ .*- (.)$", done.stdout, re.M)
        tap.equal(grades, ["A"] * 6, done.stdout)


# ---- OCSP ----

def _stapled(other, name):
    """What openssl s_client shows of the staple."""
    text = tls.openssl("s_client", "-connect",
                       f"{net.address()}:{other.ports['pop3s']}", "-status",
                       "-servername", name, "-CAfile", authority.path,
                       stdin=subprocess.DEVNULL)
    if "OCSP response: no response sent" in text:
        return None
    return re.search(r"Cert Status: (\w+)", text).group(1)


def _faketime():
    library = subprocess.run(
        ["sh", "-c", ". tests/lib/realm.sh; realm_faketime_library"],
        check=False, stdout=subprocess.PIPE, text=True)
    if library.returncode != 0:
        raise tap.Skip("libfaketime is not installed")
    return library.stdout.strip()


def _bundle(name):
    """server.pem with its issuer, so that signatures can be looked at."""
    with open(path(name), "w", encoding="ascii") as out:
        for part in (path("server.pem"), authority.path):
            with open(part, encoding="ascii") as text:
                out.write(text.read())
    return path(name)


def ocsp_response_is_stapled_and_renewed():
    file = path("stapled.der")
    authority.ocsp("server", file)
    with server("ocsp", tls_ocsp=file,
                tls_certificate=f"{_bundle('bundle.pem')} {path('other.pem')}"
                ) as other:
        tap.equal(_stapled(other, net.host()), "good", "of the default")
        tap.equal(_stapled(other, "other.example.org"), None, "of another")
        mark = other.mark()
        os.rename(authority.ocsp("other", path("next.der")), file)
        other.await_log(r"event=process\.ready", mark)
        tap.equal(_stapled(other, "other.example.org"), "good", "renewed")
        tap.equal(_stapled(other, net.host()), None, "gone")


def ocsp_responses_that_nobody_believes_are_left_out():
    old = {"LD_PRELOAD": _faketime(), "FAKETIME": "-3d"}
    stranger = tls.Authority(os.path.join(scratch.name, "other-ca"))
    shutil.copy(path("server.pem"), stranger.directory)
    authority.sign("unserved", "unserved.example.org")
    for name, made, why in (
            ("stale", authority.ocsp("server", path("stale.der"), **old),
             "out of date"),
            ("revoked", authority.ocsp("server", path("r.der"), "R"),
             "revoked"),
            ("foreign", stranger.ocsp("server", path("foreign.der")),
             "not signed by the issuer"),
            ("unserved", authority.ocsp("unserved", path("u.der")),
             "about none")):
        with server("ocsp-" + name, tls_ocsp=made,
                    tls_certificate=f"{_bundle(name + '.pem')} "
                    f"{path('other.pem')}") as other:
            other.await_log(r"event=config\.tls level=warning .*" + why)
            tap.equal(_stapled(other, net.host()), None, name)


def ocsp_response_that_ends_is_sent_no_more():
    """The server's clock goes ahead of what it has read."""
    library = _faketime()
    file = authority.ocsp("server", path("ends.der"))
    directory = os.path.join(scratch.name, "clock")
    os.makedirs(directory)
    clock = os.path.join(directory, "now")
    with open(clock, "w", encoding="ascii") as out:
        out.write("+0d\n")
    with server("ocsp-ends", tls_ocsp=file, env={
            "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": clock,
            "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1"}) as other:
        tap.equal(_stapled(other, net.host()), "good", "at first")
        mark = other.mark()
        with open(clock, "w", encoding="ascii") as out:
            out.write("+2d\n")
        tap.equal(_stapled(other, net.host()), None, "two days later")
        other.await_log(r"event=config\.tls level=warning .*out of date",
                        mark)


# ---- real programs ----

def fetchmail(port, **more):
    global counter
    counter += 1
    return Fetchmail(os.path.join(scratch.name, f"client{counter}"), port,
                     tls=f"sslcertfile {authority.path}", **more)


def a2_fetchmail_by_kpop_and_stls():
    """Its defaults with a certificate it trusts."""
    box()
    mark = kpopd.mark()
    client = fetchmail(1109)
    tap.equal(client.run(realm, realm.ccache("alice")), 0, client.output)
    tap.equal(len(client.got()), 2, "messages")
    kpopd.await_log(r"tls\.start .*service=kpop version=TLSv1\.3", mark)


def fetchmail_that_does_not_trust_us_fetches_nothing():
    maildir = box()
    client = Fetchmail(os.path.join(scratch.name, "distrust"),
                       kpopd.ports["pop3s"], "pop3", auth="password",
                       password="alice-password",
                       more="ssl sslcertck sslproto auto")
    tap.true(client.run(realm) != 0, client.output)
    tap.equal(len(maildir.names()), 2, "messages left")
    serves()


# ---- who the channel names ----

# Of gsasl.h.
GSASL = {"authid": 1, "password": 3, "unique": 18, "exporter": 25}


def _gsasl(client, context, values):
    """SCRAM-SHA-256-PLUS by GNU SASL, the library of mpop and mutt."""
    session = ctypes.c_void_p()
    output = ctypes.c_char_p()
    library = _gsasl.library
    tap.equal(library.gsasl_client_start(context, b"SCRAM-SHA-256-PLUS",
                                         ctypes.byref(session)), 0, "start")
    for name, value in values.items():
        library.gsasl_property_set(session, GSASL[name], value)
    answer = client.command("AUTH SCRAM-SHA-256-PLUS")
    while answer.startswith("+ "):
        status = library.gsasl_step64(session, answer[2:].encode(),
                                      ctypes.byref(output))
        if status not in (0, 1):
            tap.show(f"gsasl: {status}")
            answer = client.command("*")
            break
        answer = client.command(output.value.decode())
    library.gsasl_finish(session)
    return answer


def x1_plus_by_gnu_sasl_over_tls_1_2():
    try:
        _gsasl.library = ctypes.CDLL("libgsasl.so.18")
    except OSError:
        raise tap.Skip("libgsasl is not installed") from None
    _gsasl.library.gsasl_property_set.argtypes = (
        ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
    context = ctypes.c_void_p()
    tap.equal(_gsasl.library.gsasl_init(ctypes.byref(context)), 0, "init")
    made = tls.context(authority.path,
                       maximum_version=ssl.TLSVersion.TLSv1_2)
    with server("plus", mechanisms="SCRAM-SHA-256-PLUS SCRAM-SHA-256") \
            as other:
        Maildir(other, "alice").fill(1)
        with tls.Pop3s(other, made) as client:
            tap.contains(client.multi("CAPA"),
                         "SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256")
            right = client.socket.get_channel_binding("tls-unique")
            wrong = bytes([right[0] ^ 1]) + right[1:]
            values = {"authid": b"alice", "password": b"alice-password"}
            for octets, start in ((wrong, "-ERR [AUTH]"), (right, "+OK")):
                values["unique"] = base64.b64encode(octets)
                answer = _gsasl(client, context, values)
                tap.true(answer.startswith(start), answer)
            client.ok("STAT")
        _wants_no_downgrade(other)
        with Pop3(other) as client:
            tap.true(not any("PLUS" in c for c in client.multi("CAPA")),
                     "PLUS without TLS")


def _wants_no_downgrade(other):
    with tls.Pop3s(other, trusting) as client:
        tap.equal(client.command("AUTH SCRAM-SHA-256"), "+ ", "challenge")
        client.err(base64.b64encode(b"y,,n=alice,r=abcdef").decode(),
                   "-ERR [AUTH]")


class Exported:
    """openssl s_client, which tells what TLS 1.3 exports for RFC 9266."""

    def __init__(self, other):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect",
             f"{net.address()}:{other.ports['pop3s']}", "-tls1_3", "-nocommands",
             "-crlf", "-keymatexport", "EXPORTER-Channel-Binding",
             "-keymatexportlen", "32"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = self.until(b"kpop ready")
        self.key = bytes.fromhex(re.search(
            rb"Keying material: ([0-9A-F]+)", text).group(1).decode())

    def until(self, end):
        text = b""
        for line in self.process.stdout:
            text += line
            if end in line:
                return text
        raise tap.Failure(f"no {end!r} in {text!r}")

    def command(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith((b"+", b"-ERR")):
                return line.decode().rstrip("\r\n")
        raise tap.Failure("the connection ended")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def x1_plus_by_tls_exporter_over_tls_1_3():
    with server("exporter", mechanisms="SCRAM-SHA-256-PLUS") as other:
        Maildir(other, "alice").fill(1)
        for bend, start in ((0, "+OK"), (1, "-ERR [AUTH]")):
            client = Exported(other)
            channel = bytes([client.key[0] ^ bend]) + client.key[1:]
            answer, _ = sasl.run(client, sasl.scram(
                client, "alice", "alice-password",
                mechanism="SCRAM-SHA-256-PLUS", flag="p=tls-exporter",
                channel=channel))
            client.close()
            tap.true(answer.startswith(start), answer)


def x1_plus_by_end_point():
    with server("end-point", mechanisms="SCRAM-SHA-256-PLUS") as other:
        Maildir(other, "alice").fill(1)
        with tls.Pop3s(other, trusting) as client:
            channel = hashlib.sha256(
                client.socket.getpeercert(True)).digest()
            tap.true(sasl.logs_in(client, sasl.scram(
                client, "alice", "alice-password",
                mechanism="SCRAM-SHA-256-PLUS",
                flag="p=tls-server-end-point", channel=channel)), "login")


def _show(file):
    made = tls.context(authority.path)
    made.load_cert_chain(*file)
    return made


def r25_14_client_certificate_logs_in_by_external():
    alice = authority.sign("alice", "email:alice@example.org")
    twice = authority.sign("twice", "email:alice@example.org",
                           "email:bob@example.org")
    stranger = tls.Authority(os.path.join(scratch.name, "stranger")).sign(
        "alice", "email:alice@example.org")
    with server("external", mechanisms="EXTERNAL USER", tls_client_name="local",
                tls_client_ca=authority.path) as other:
        for user in ("alice", "bob"):
            Maildir(other, user).fill(1)
        for made, offered in ((trusting, False), (_show(alice), True),
                              (_show(stranger), False)):
            with tls.Pop3s(other, made) as client:
                capa = client.multi("CAPA")
                tap.equal("SASL EXTERNAL" in capa, offered, f"{capa}")
                if not offered:
                    client.err("AUTH EXTERNAL =")
        with tls.Pop3s(other, _show(alice)) as client:
            client.err("AUTH EXTERNAL Ym9i", "-ERR [AUTH]")  # bob
            client.ok("AUTH EXTERNAL =")
            client.ok("QUIT")
        with tls.Pop3s(other, _show(twice)) as client:
            client.err("AUTH EXTERNAL =", "-ERR [AUTH]")
        with Pop3(other) as client:
            stls(client, _show(alice))
            tap.equal(client.command("AUTH EXTERNAL"), "+ ", "challenge")
            client.ok("YWxpY2U=")
        other.await_log(r'tls\.start .*client="/CN=alice"')
        other.await_log(r"auth\.ok .*mechanism=EXTERNAL authcid=alice")


def r25_14_curl_logs_in_by_external():
    if not shutil.which("curl"):
        raise tap.Skip("curl is not installed")
    certificate, key = authority.sign("carol", "email:carol@example.org")
    with server("curl", mechanisms="EXTERNAL", tls_client_name="local",
                tls_client_ca=authority.path) as other:
        Maildir(other, "carol").fill(1)
        for user, status in (("carol", 0), ("", 0), ("alice", 67)):
            done = subprocess.run(
                ["curl", "-q", "-s", "-S", "--cacert", authority.path,
                 "--cert", certificate, "--key", key, "--login-options",
                 "AUTH=EXTERNAL", "-u", user + ":",
                 f"pop3s://{net.host()}:{other.ports['pop3s']}/1"],
                check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=30 * tap.SLOW)
            tap.equal(done.returncode, status, f"{user}: {done.stdout!r}")
            tap.equal(b"This is message 1." in done.stdout, status == 0,
                      "the message")
        other.await_log(r"auth\.ok .*mechanism=EXTERNAL authcid=carol")


def _by_ticket(gss, client):
    return sasl.logs_in(client, sasl.gssapi(client, gss))


def g8_ticket_bound_to_another_channel_is_refused():
    """What a client bound to the TLS of who stands between is worth nothing
    here, inside TLS or without; the right name of the channel is taken."""
    box()
    old = tls.context(authority.path,
                      maximum_version=ssl.TLSVersion.TLSv1_2)
    end_point = hashlib.sha256(ssl.PEM_cert_to_DER_cert(
        open(path("server.pem"), encoding="ascii").read())).digest()
    with sasl.Gss(realm, realm.ccache("alice")) as gss:
        for made, kind in ((old, "tls-unique"),
                           (trusting, "tls-server-end-point")):
            for bend, good in ((1, False), (0, True)):
                with tls.Pop3s(kpopd, made) as client:
                    name = (end_point if made is trusting else
                            client.socket.get_channel_binding(kind))
                    gss.bind(kind, bytes([name[0] ^ bend]) + name[1:])
                    mark = kpopd.mark()
                    tap.equal(_by_ticket(gss, client), good, f"{kind} {bend}")
                    if not good:
                        kpopd.await_log(r"sasl\.refused .*principal=alice@.*"
                                        r"bound to another TLS channel", mark)
        mark = kpopd.mark()
        with Pop3(kpopd) as client:
            tap.true(not _by_ticket(gss.reset(), client), "in the clear")
        kpopd.await_log(r"sasl\.refused .*came without TLS", mark)


def layer_of_sasl_inside_tls():
    """One in the other; both end in good order."""
    maildir = None
    with server("layered", max_ssf=256, mechanisms="GSSAPI") as other:
        maildir = Maildir(other, "alice").fill(3)
        with sasl.Gss(realm, realm.ccache("alice")) as gss, \
                tls.Pop3s(other, trusting) as client:
            answer, _ = sasl.run(client, sasl.gssapi(
                client, gss, choice=b"\4\0\x40\0"))
            tap.contains(answer, "+OK")
            layered = sasl.Layered(client, gss, True)
            tap.equal(len(layered.multi("UIDL")), 3, "messages")
            tap.contains("\n".join(layered.multi("RETR 2")), "message 2.")
            layered.ok("DELE 1")
            layered.ok("QUIT")
            tap.equal(layered.rest(), b"", "octets behind QUIT")
        other.await_log(r"event=sasl\.layer .*user=alice ssf=256\n")
        tap.equal(len(maildir.names()), 2, "messages left")


# ---- memory ----

def idle_session_costs_under_40_kib_more():
    """Proportional memory of the workers, for 200 sessions of each kind."""
    if not tap.PLAIN:
        raise tap.Skip("a checker's memory says nothing")
    many = 200
    with server("memory", workers=1, max_unauthenticated=1000) as other:
        worker, = other.children("worker")
        def cost(make):
            first = [make() for _ in range(20)]
            start = memory(worker)
            clients = [make() for _ in range(many)]
            each = (memory(worker) - start) / many
            for client in first + clients:
                client.close()
            return each
        clear = cost(lambda: Pop3(other))
        secret = cost(lambda: tls.Pop3s(other, trusting))
        tap.show(f"PSS of an idle session: {clear / 1024:.1f} KiB in the "
                 f"clear, {secret / 1024:.1f} KiB inside TLS")
        tap.true(secret - clear <= 40 * 1024, f"{secret - clear} octets")


def log_has_no_errors():
    bad = re.findall(r"level=error.*", kpopd.log())
    tap.equal(bad, [], "errors in the log")


if __name__ == "__main__":
    tap.main(globals(), before, after)
