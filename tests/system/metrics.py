#!/usr/bin/env python3
# metrics.py - kpopd's metrics, as a real Prometheus reads them: what is
# counted, that it survives, who serves it.
# TIME-LIMIT: 180
#
# SPDX-License-Identifier: MIT
import contextlib
import glob
import http.client
import json
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from harness import net, tap

net.enter()

from harness import server as servers  # noqa: E402 (inside the network)
from harness import tls  # noqa: E402
from harness.maildir import Maildir  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd, check, kpopctl, passwords  # noqa: E402
from harness.wire import Kpop, Line, Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-metrics-")
realm = None
authority = None
counter = 0

USERS = ("alice", "bob", "carol")


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
    directory = place()
    keys.setdefault("metrics", f"{net.address()}:0")
    keys.setdefault("plaintext", "always")
    keys.setdefault("listen_pop3", f"{net.address()}:0")
    server = Kpopd(directory, realm, start=False,
                   passwords="file:" + passwords(directory, *USERS), **keys)
    for user in USERS:
        Maildir(server, user).fill(3)
    return server.start() if start else server


def request(server, octets, port=None):
    """Whatever comes back."""
    with socket.create_connection(
            (net.address(), port or server.ports["metrics"]),
            timeout=20 * tap.SLOW) as line:
        answer = b""
        with contextlib.suppress(ConnectionError):
            line.sendall(octets)
            while piece := line.recv(65536):
                answer += piece
        return answer.decode()


def get(server, path="/metrics", accept="", port=None):
    """(status, content type, body)."""
    connection = http.client.HTTPConnection(
        net.address(), port or server.ports["metrics"],
        timeout=20 * tap.SLOW)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        return (answer.status, answer.headers["Content-Type"],
                answer.read().decode())


def samples(server):
    """{name{labels}: value}"""
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in get(server)[2].splitlines()
            if not line.startswith("#")}


def await_samples(server, **wanted):
    """Until these values are there; they are given back with the others."""
    def look():
        now = samples(server)
        return all(now.get(k) == v for k, v in wanted.items()) and now
    return tap.await_(look, lambda: "\n".join(
        f"{k} is {samples(server).get(k)}, not {v}"
        for k, v in wanted.items()))


def label(name, **labels):
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) \
        + "}"


def logins(mechanism, result):
    return label("kpop_logins_total", mechanism=mechanism, result=result)


# ---- what is counted ----

def each_thing_that_happens_is_counted():
    made = tls.context(authority.path)
    with kpopd(listen_pop3s=f"{net.address()}:0",
               tls_certificate=authority.file("server.pem"),
               tls_key=authority.file("server.key")) as server, \
            contextlib.ExitStack() as stack:
        tap.equal([k for k, v in samples(server).items() if v and not
                   k.startswith(("kpop_build_info", "kpop_start_time"))], [],
                  "what is not 0 at first")
        req = stack.enter_context(ApReq(realm,
                                        ccache=realm.ccache("alice")))
        first = stack.enter_context(Kpop(server))
        first.handshake(req.octets)
        first.login("alice")
        with Kpop(server) as again:
            again.refused(req.octets)
        with Kpop(server) as junk:
            junk.refused(b"junk")
        second = stack.enter_context(tls.Pop3s(server, made))
        second.ok("USER bob")
        second.err("PASS wrong")
        second.ok("USER bob")
        second.ok("PASS bob-password")
        with Pop3(server) as third:
            third.ok("USER bob")
            third.err("PASS bob-password", "-ERR [IN-USE]")
        second.multi("RETR 1")
        second.ok("DELE 1")
        second.ok("DELE 2")
        second.ok("QUIT")
        second.rest()
        now = await_samples(server, **{
            label("kpop_sessions", listener="kpop", state="mail"): 1,
            label("kpop_sessions", listener="kpop", state="login"): 0,
            label("kpop_sessions", listener="pop3s", state="mail"): 0,
            label("kpop_connections_total", listener="kpop"): 3,
            label("kpop_connections_total", listener="pop3s"): 1,
            logins("KPOP", "ok"): 1,
            logins("PLAIN", "ok"): 2,
            logins("PLAIN", "fail"): 1,
            label("kpop_refusals_total", code="34"): 1,
            label("kpop_refusals_total", code="40"): 1,
            label("kpop_tls_handshakes_total", version="TLSv1.3"): 1,
            label("kpop_maildrop_opens_total", result="ok"): 2,
            label("kpop_maildrop_opens_total", result="in_use"): 1,
            label("kpop_maildrop_commits_total", result="ok"): 1,
            "kpop_messages_retrieved_total": 1,
            "kpop_messages_deleted_total": 2,
            "kpop_ticket_check_seconds_count": 3,
            "kpop_open_seconds_count": 3,
            "kpop_commit_seconds_count": 1})
        for name in ("login", "login_wait", "open"):
            tap.true(now[f"kpop_{name}_seconds_sum"] > 0, name)
            buckets = [v for k, v in now.items()
                       if k.startswith(f"kpop_{name}_seconds_bucket")]
            tap.equal(buckets, sorted(buckets), "buckets are cumulative")
            tap.equal(buckets[-1], now[f"kpop_{name}_seconds_count"])
        for way in ("in", "out"):
            tap.true(now[label("kpop_octets_total", direction=way)] > 500,
                     way)


def numbers_survive_the_death_of_a_worker_and_a_reload():
    with kpopd(workers=1) as server:
        with Pop3(server) as client:
            client.login("bob")
            before = await_samples(server, **{
                logins("PLAIN", "ok"): 1,
                label("kpop_sessions", listener="pop3", state="mail"): 1})
            for kind in ("worker", "auth-password"):
                for pid in server.children(kind):
                    server.kill(pid)
        died = 3
        now = await_samples(server, kpop_process_deaths_total=died, **{
            label("kpop_sessions", listener="pop3", state="mail"): 0})
        for name, value in before.items():
            if "_total" in name or "_count" in name:
                tap.true(now[name] >= value, f"{name}: {now[name]}")
        tap.await_(lambda: len(server.children("auth-password")) == 2,
                   "they are replaced")
        server.reload()
        server.await_log("event=config.reloaded")
        with Pop3(server) as client:
            client.login("bob")
        await_samples(server, kpop_reloads_total=1,
                      **{logins("PLAIN", "ok"): 2})


def listens(pid, port):
    """Has this process the listening socket of the port?"""
    with open("/proc/net/tcp", encoding="ascii") as table:
        inodes = {row[9] for row in map(str.split, table)
                  if row[3] == "0A" and row[1].endswith(f":{port:04X}")}
    held = set()
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        with contextlib.suppress(FileNotFoundError):
            held.add(os.readlink(path))
    return any(f"socket:[{inode}]" in held for inode in inodes)


def a_reload_cuts_no_request_off():
    with kpopd() as server, socket.create_connection(
            (net.address(), server.ports["metrics"]),
            timeout=20 * tap.SLOW) as line:
        line.sendall(b"GET /metrics HTTP/1.1\r\n")
        samples(server)  # who comes later is taken later
        old, = server.children("metrics")
        tap.true(listens(old, server.ports["metrics"]), "it listens")
        server.reload()
        tap.await_(lambda: not listens(old, server.ports["metrics"]),
                   "the old process leaves")
        line.sendall(b"\r\n")
        tap.contains(line.makefile().read(), "kpop_reloads_total 1\n")


def kick_and_eviction_are_counted():
    with kpopd(max_unauthenticated=1) as server, Pop3(server) as client:
        client.login("bob")
        # One that the master still takes for waiting would be chosen.
        await_samples(server, **{
            label("kpop_sessions", listener="pop3", state="mail"): 1})
        with Pop3(server) as first, Pop3(server):
            first.rest()
        kpopctl(server.path, "kick", "bob", env=server.env)
        await_samples(server, kpop_sessions_kicked_total=1,
                      kpop_connections_evicted_total=1)


# ---- Prometheus ----

def program(name):
    path = os.path.join(net.BUILD, "unpacked/usr/bin", name)
    found = path if os.path.exists(path) else shutil.which(name)
    if not found:
        raise tap.Skip(f"{name} is not unpacked")
    return found


def promtool_finds_nothing_to_say():
    with kpopd() as server, Pop3(server) as client:
        client.login("bob")
        status, kind, text = get(server)
        tap.equal((status, kind),
                  (200, "text/plain; version=0.0.4; charset=utf-8"))
        done = subprocess.run([program("promtool"), "check", "metrics"],
                              input=text, text=True, check=False,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        tap.equal((done.returncode, done.stdout), (0, ""))


class Prometheus:
    """One that reads a kpopd every half second."""

    def __init__(self, server):
        directory = os.path.join(server.directory, "prometheus")
        os.makedirs(directory)
        config = os.path.join(directory, "config.yml")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"""scrape_configs:
  - job_name: kpop
    scrape_interval: 500ms
    scrape_timeout: 500ms
    static_configs:
      - targets: ["{net.address()}:{server.ports['metrics']}"]
""")
        with socket.create_server((net.address(), 0)) as free:
            self.at = f"{net.address()}:{free.getsockname()[1]}"
        self.log = os.path.join(directory, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program("prometheus"), f"--config.file={config}",
                 f"--storage.tsdb.path={directory}/data",
                 f"--web.listen-address={self.at}"],
                stdout=log, stderr=log, cwd=directory)

    def query(self, text):
        """The result, or None when there is none yet."""
        url = f"http://{self.at}/api/v1/query?" + urllib.parse.urlencode(
            {"query": text})
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]["result"] or None
        except urllib.error.HTTPError as bad:
            if bad.code == 503:
                return None  # it starts
            raise tap.Failure(f"{text}: {bad.read().decode()}") from None
        except OSError:
            return None

    def await_query(self, text):
        return tap.await_(lambda: self.query(text), lambda: f"{text} in\n"
                          + open(self.log, encoding="utf-8").read()[-3000:],
                          30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


@tap.helper
def expressions():
    with open(os.path.join(net.ROOT, "packaging/grafana/kpop.json"),
              encoding="ascii") as file:
        board = json.load(file)
    return [(panel["title"], target["expr"])
            for panel in board["panels"] for target in panel["targets"]]


def prometheus_reads_them_and_fills_the_dashboard():
    made = tls.context(authority.path)
    with kpopd(tls_certificate=authority.file("server.pem"),
               tls_key=authority.file("server.key")) as server, \
            ApReq(realm, ccache=realm.ccache("alice")) as req, \
            Prometheus(server) as prometheus:
        up = prometheus.await_query("up == 1")
        tap.equal(up[0]["metric"]["job"], "kpop")
        with Kpop(server) as client:
            client.handshake(req.octets)
            client.login("alice")
        with Kpop(server) as again:
            again.refused(req.octets)

        def traffic():
            """Rates need changes between two samples."""
            with Pop3(server) as client:
                client.ok("STLS")
                tls.secure(client, made)
                client.ok("USER bob")
                client.err("PASS wrong")
            with Pop3(server) as client:
                client.login("bob")
                client.multi("RETR 1")
                if len(Maildir(server, "bob").names()) > 1:
                    client.ok("DELE 1")
                client.ok("QUIT")
                client.rest()

        got = prometheus.await_query("kpop_refusals_total")
        tap.equal([(m["metric"]["code"], m["value"][1]) for m in got],
                  [("34", "1")])
        for title, expression in expressions():
            query = expression.replace("$instance", ".*").replace(
                "$__rate_interval", "1m")
            # A quantile of nothing is NaN, and that is a result, too.
            if query.startswith("histogram_quantile"):
                query = re.sub(r"histogram_quantile\([0-9.]+, (.*)\)$",
                               r"\1 > 0", query)

            def filled(query=query):
                traffic()
                return prometheus.query(query)
            tap.await_(filled, f"{title}: {query}", 30)


# ---- how they are served ----

def openmetrics_is_for_who_asks_for_it():
    with kpopd() as server:
        status, kind, text = get(server, accept="application/"
                                 "openmetrics-text;version=1.0.0,*/*;q=0.1")
        tap.equal((status, kind), (200, "application/openmetrics-text; "
                                        "version=1.0.0; charset=utf-8"))
        tap.true(text.endswith("\n# EOF\n"), text[-80:])
        tap.contains(text, "# TYPE kpop_logins counter\n")
        old = get(server)[2]
        tap.lacks(old, "EOF")
        tap.contains(old, "# TYPE kpop_logins_total counter\n")
        names = [line.split("{")[0].split(" ")[0] for line
                 in text.splitlines() if not line.startswith("#")]
        tap.equal(names, [line.split("{")[0].split(" ")[0] for line
                          in old.splitlines() if not line.startswith("#")])


def unix_socket_serves_them_too():
    server = kpopd(start=False)
    path = os.path.join(server.directory, "metrics")
    server.configure(metrics=f"unix:{path}")
    with server.start():
        st = os.stat(path)
        tap.equal((stat.S_ISSOCK(st.st_mode), stat.S_IMODE(st.st_mode)),
                  (True, 0o666))
        done = subprocess.run(
            ["curl", "-q", "-sS", "--unix-socket", path,
             "http://kpopd/metrics"], check=True, text=True,
            stdout=subprocess.PIPE)
        tap.contains(done.stdout, "\nkpop_commands_total 0\n")
        # A server that was killed leaves it; the next one takes it.
        server.process.kill()
        server.stop(status=None)
        tap.true(os.path.exists(path), "the socket is left")
        server.start()
        tap.contains(subprocess.run(
            ["curl", "-q", "-sS", "--unix-socket", path,
             "http://kpopd/metrics"], check=True, text=True,
            stdout=subprocess.PIPE).stdout, "kpop_sessions{")
    tap.equal(os.path.exists(path), False, "the socket is there")


def only_this_machine_is_served():
    server = kpopd(start=False)
    for where in ("0.0.0.0:9109", "*:9109", "[::]:9109", "192.0.2.1:9109",
                  "[2001:db8::1]:9109", "128.0.0.1:9109", "::1:9109",
                  "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "9109",
                  "localhost:9109", "127.0.0.1:9109x", "unix:metrics",
                  "unix:/" + "x" * 120, "[127.0.0.1:9109"):
        server.configure(metrics=where)
        status, output = check(server.path, server.env)
        tap.equal(status, 1, f"{where}: {output}")
        tap.contains(output, ": metrics: ")
    for where in ("127.9.8.7:9109", "[::1]:9109", "unix:/run/kpop/metrics"):
        server.configure(metrics=where)
        status, output = check(server.path, server.env)
        tap.equal(status, 0, f"{where}: {output}")


def other_requests_are_answered_or_let_go():
    with kpopd() as server:
        for octets, start in (
                (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "),
                (b"GET /metricsx HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "),
                (b"POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 "),
                (b"QUIT\r\n\r\n", "HTTP/1.1 405 "),
                (b"GET\r\n\r\n", "HTTP/1.1 405 "),
                (b"GET /metrics?a=b HTTP/1.0\n\n", "HTTP/1.1 200 "),
                (b"x" * 4000, ""), (b"GET \0\r\n\r\n" + b"x" * 4000, "")):
            answer = request(server, octets)
            tap.equal(answer[:len(start) or None], start, f"{octets[:40]}")
        head = request(server, b"HEAD /metrics HTTP/1.1\r\n\r\n")
        tap.true(re.search(r"\r\nContent-Length: [1-9]\d{3,}\r\n", head),
                 head)
        tap.true(head.endswith("\r\n\r\n"), head)


def silent_scrapers_keep_nobody_out():
    with kpopd() as server, contextlib.ExitStack() as stack:
        for _ in range(30):
            line = stack.enter_context(socket.create_connection(
                (net.address(), server.ports["metrics"])))
            line.sendall(b"GET /met")
        tap.equal(get(server)[0], 200)


def their_process_has_few_rights_and_is_replaced():
    with kpopd() as server, Line(server.ports["pop3"]) as client:
        tap.equal(get(server)[0], 200)  # who answers has given up its rights
        old = server.children("metrics")
        tap.equal(len(old), 1)
        with open(f"/proc/{old[0]}/status", encoding="ascii") as file:
            uids = re.search(r"Uid:\t(\d+)\t(\d+)\t(\d+)", file.read())
        if os.getuid() == 0:
            wanted = str(pwd.getpwnam(servers.WORKER_USER).pw_uid)
            tap.equal(uids.groups(), (wanted,) * 3)
        sockets = [name for name in os.listdir(f"/proc/{old[0]}/fd")
                   if os.readlink(f"/proc/{old[0]}/fd/{name}")
                   .startswith("socket:")]
        tap.equal(len(sockets), 2, "to the master, and where it listens")
        with open(f"/proc/{old[0]}/maps", encoding="ascii") as file:
            shared = re.findall(r"(?m)^\S+ (...s) ", file.read())
        tap.equal(shared, ["r--s"], "shared memory: the counters, to read")
        server.kill(old[0])
        server.await_other("metrics", old)
        tap.equal(get(server)[0], 200)
        client.line()


def reload_moves_them_and_takes_them_away():
    with kpopd() as server, Pop3(server) as client:
        client.login("bob")  # the old generation stays for this one
        tap.equal(get(server)[0], 200)
        mark = server.mark()
        server.configure(metrics="127.0.0.2:0")
        server.reload()
        port = int(server.await_log(
            r"service=metrics address=127\.0\.0\.2 port=(\d+)",
            mark).group(1))
        with contextlib.closing(http.client.HTTPConnection(
                "127.0.0.2", port, timeout=20 * tap.SLOW)) as other:
            other.request("GET", "/metrics")
            tap.contains(other.getresponse().read().decode(),
                         "kpop_reloads_total 1\n")

        def refused(address, number):
            try:
                socket.create_connection((address, number), 5).close()
                return False
            except ConnectionRefusedError:
                return True
        tap.await_(lambda: refused(net.address(), server.ports["metrics"]),
                   "the old address is closed")
        server.configure(metrics=None)
        server.reload()
        tap.await_(lambda: refused("127.0.0.2", port), "all are closed")
        tap.await_(lambda: server.children("metrics") == [],
                   "their process ends")
        client.ok("NOOP")


def address_that_is_taken_is_said_and_mail_is_served():
    with kpopd() as first, kpopd(start=False) as server:
        server.configure(
            metrics=f"{net.address()}:{first.ports['metrics']}")
        server.start()
        server.await_log("event=control.metrics .*in use")
        with Pop3(server) as client:
            client.login("bob")


tap.main(globals(), before, after)
