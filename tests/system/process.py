#!/usr/bin/env python3
# process.py - kpopd's processes: what ends, what goes on and what comes back
# when one is killed, at a reload and at a stop; limits; rights.
# TIME-LIMIT: 180
#
# SPDX-License-Identifier: MIT
import contextlib
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import net, tap

net.enter()

from harness import server as servers  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd, passwords  # noqa: E402
from harness.wire import Kpop, Line, Pop3, frame  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-process-")
realm = None
stuck = None
counter = 0

USERS = ("alice", "bob", "carol", "dave", "erin", "fred")


@tap.helper
def before():
    global realm, stuck
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    if os.environ.get("KPOP_TEST", "") in "stop_waits_thirty_seconds_at_most":
        stuck = Stuck()


@tap.helper
def after():
    if stuck:
        stuck.end()
    if realm:
        realm.stop()
    scratch.cleanup()


@tap.helper
def place():
    global counter
    counter += 1
    return os.path.join(scratch.name, f"kpopd{counter}")


def kpopd(directory=None, **keys):
    """A server of its own, with a maildir of two messages for each user."""
    directory = directory or place()
    keys.setdefault("plaintext", "always")
    keys.setdefault("listen_pop3", f"{net.address()}:0")
    server = Kpopd(directory, realm, start=False,
                   passwords="file:" + passwords(directory, *USERS), **keys)
    for user in USERS:
        Maildir(server, user).fill(2)
    return server.start()


def login(server, user, **more):
    """Logged in, and the master knows: a second answer comes after that."""
    client = Pop3(server, **more).login(user)
    client.ok("NOOP")
    return client


def login_again(server, user):
    """Once there is room again: the master hears of an end a bit later."""
    def attempt():
        client = Line(server.ports["pop3"])
        try:
            tap.contains(client.line(), "+OK")
            client.ok(f"USER {user}")
            client.ok(f"PASS {user}-password")
            return client
        except (OSError, tap.Failure):
            client.close()
            return None
    return tap.await_(attempt, f"{user} can log in")


def names(server, user):
    return Maildir(server, user).names()


def is_alive(client):
    """False once the server has closed; it must have said nothing."""
    try:
        client.send(b"NOOP\r\n")
        return client.line().startswith("+OK")
    except (OSError, tap.Failure):
        return False


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii",
                  errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# ---- a process is killed ----

def killed_worker_deletes_nothing_and_frees_the_lock():
    with kpopd() as server:
        workers = server.children("worker")
        clients = {user: login(server, user) for user in USERS[:4]}
        for client in clients.values():
            client.ok("DELE 1")
        server.kill(workers[0])
        alive = [user for user, client in clients.items() if is_alive(client)]
        tap.equal(len(alive), 2, f"sessions of the other worker: {alive}")
        for user, client in clients.items():
            tap.equal(len(names(server, user)), 2, f"messages of {user}")
            if user in alive:
                client.ok("RETR 2")
                client.lines()
                client.ok("QUIT")
                tap.equal(len(names(server, user)), 1, f"{user} went on")
                continue
            with login(server, user) as again:
                tap.equal(again.ok("STAT").split()[1], "2", "messages")
        tap.await_(lambda: len(server.children("worker")) == 2,
                   "a new worker")
        tap.true(workers[0] not in server.children("worker"), "it is new")
        server.await_log(r"event=process\.died .*kind=worker")
        for client in clients.values():
            client.close()
        # The new one serves: the next four are spread over both.
        clients = [login(server, user) for user in USERS[:4]]
        server.kill(workers[1])
        tap.true(any(map(is_alive, clients)), "sessions of the new one")
        for client in clients:
            client.close()


def worker_killed_in_commit_damages_no_message():
    with kpopd() as server:
        maildir = Maildir(server, "alice")
        for _ in range(5):
            maildir.empty().fill(4000)
            with login(server, "alice") as client:
                client.send(b"".join(b"DELE %d\r\n" % (i + 1)
                                     for i in range(4000)) + b"QUIT\r\n")
                tap.await_(lambda: len(maildir.names()) < 4000,
                           "deletions have begun")
                workers = server.children("worker")
                for pid in workers:
                    server.kill(pid)
            server.await_other("worker", workers)
            left = len(maildir.names())
            if left:
                break
        tap.show(f"{left} of 4000 messages left")
        with login(server, "alice") as client:
            tap.equal(client.ok("STAT").split()[1], str(left), "messages")
            for name in maildir.names():
                with open(maildir.path_of(name), encoding="ascii") as file:
                    tap.contains(file.read(), "This is message ")
            client.ok("QUIT")


def killed_password_process_is_replaced():
    with kpopd() as server, login(server, "bob") as other:
        old = server.children("auth-password")
        tap.equal(len(old), 2, "processes")
        for pid in old:
            server.kill(pid)

        def attempt():
            with Pop3(server) as client:
                client.ok("USER alice")
                answer = client.command("PASS alice-password")
                tap.true(answer.startswith(("+OK", "-ERR [SYS/TEMP]")),
                         answer)
                return answer.startswith("+OK")
        tap.await_(attempt, "a login")
        server.await_other("auth-password", old)
        other.ok("NOOP")


def killed_kerberos_process_is_replaced():
    with kpopd() as server, ApReq(realm, ccache=realm.ccache("alice")) as req:
        with Kpop(server) as other:
            other.handshake(req.octets)
            tap.contains(other.login("alice"), "+OK")
            old = server.children("auth-krb")
            for pid in old:
                server.kill(pid)

            def attempt():
                with Kpop(server) as client:
                    client.versions()
                    client.send(frame(req.again()))
                    status = client.read(4)
                    if status == b"\0\0\0\0":
                        return client.line().startswith("+OK")
                    refusal = client.read(int.from_bytes(status, "big"))
                    tap.contains(req.error(refusal)[1], "[SYS/TEMP]")
                    return False
            tap.await_(attempt, "a handshake")
            other.ok("NOOP")
        server.await_other("auth-krb", old)


def worker_killed_between_ap_req_and_pass_opens_nothing():
    with kpopd() as server, ApReq(realm, ccache=realm.ccache("alice")) as req:
        with Kpop(server) as client:
            client.handshake(req.octets)
            client.ok("USER alice")
            workers = server.children("worker")
            for pid in workers:
                server.kill(pid)
            tap.equal(client.rest(), b"", "octets of a dead worker")
        server.await_other("worker", workers)
        tap.equal(len(names(server, "alice")), 2, "messages")
        with Kpop(server) as client:
            tap.equal(req.error(client.refused(req.octets))[0], 34,
                      "the AP-REQ is spent")
        with Kpop(server) as client:
            client.handshake(req.again())
            tap.contains(client.login("alice"), "+OK")


def kerberos_process_killed_between_ap_req_and_pass_is_temporary():
    with kpopd() as server, ApReq(realm, ccache=realm.ccache("alice")) as req:
        with Kpop(server) as client:
            client.handshake(req.octets)
            for pid in server.children("auth-krb"):
                server.kill(pid)
            tap.contains(client.login("alice"), "-ERR [SYS/TEMP]")
        with login(server, "alice"):
            pass  # the maildrop is free


def killed_master_takes_all_along():
    server = kpopd()
    pids = server.children()
    tap.equal(len(pids), 6, "children")
    with login(server, "alice") as client:
        client.ok("DELE 1")
        server.process.kill()
        server.process.wait()
        client.rest()
        tap.await_(lambda: all(map(is_gone, pids)), "all children have ended")
    server.stop(status=None)
    tap.equal(len(names(server, "alice")), 2, "messages")


# ---- reload ----

class Knocker(threading.Thread):
    """Connects again and again until told to end."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.over = threading.Event()
        self.greeted = 0
        self.trouble = []
        self.start()

    def run(self):
        while not self.over.is_set():
            try:
                with Pop3(self.server) as client:
                    tap.contains(client.greeting, "+OK")
                    client.ok("QUIT")
                self.greeted += 1
            except (OSError, tap.Failure) as problem:
                self.trouble.append(repr(problem))

    def end(self):
        self.over.set()
        self.join()
        tap.equal(self.trouble, [], "connections in trouble")


def reload(server):
    mark = server.mark()
    server.reload()
    server.await_log(r"event=config\.(reloaded|refused)", mark)
    return server.log(mark)


def reload_changes_new_sessions_and_leaves_old_ones():
    with kpopd(hostname="one.example.org") as server:
        workers = server.children("worker")
        with login(server, "alice") as old:
            tap.contains(old.greeting, "one.example.org")
            old.ok("DELE 1")
            knocker = Knocker(server)
            for name in ("two", "three", "four"):
                seen = knocker.greeted
                server.configure(hostname=f"{name}.example.org")
                tap.contains(reload(server), "config.reloaded")
                with Pop3(server) as new:
                    tap.contains(new.greeting, f"{name}.example.org")
                tap.await_(lambda: knocker.greeted > seen + 5,
                           "connections go on")
            knocker.end()
            tap.show(f"{knocker.greeted} connections during 3 reloads")
            with login(server, "bob") as new, Pop3(server) as third:
                new.ok("NOOP")
                third.ok("USER alice")
                third.err("PASS alice-password", "-ERR [IN-USE]")
            old.ok("RETR 2")
            tap.contains("\n".join(old.lines()), "This is message 2.")
            old.ok("QUIT")
        tap.equal(len(names(server, "alice")), 1, "messages")
        tap.await_(lambda: len(server.children()) == 6,
                   "the old processes have gone")
        tap.equal(set(workers) & set(server.children()), set(), "old ones")


def reload_moves_a_listener():
    with socket.socket() as probe:
        probe.bind((net.address(), 0))
        port = probe.getsockname()[1]
    with kpopd() as server, login(server, "alice") as old:
        server.configure(listen_pop3=f"{net.address()}:{port}")
        tap.contains(reload(server), "config.reloaded")
        with Line(port) as new:
            tap.contains(new.line(), "+OK")
        try:
            Line(server.ports["pop3"]).close()
            raise tap.Failure("the old port is still open")
        except ConnectionRefusedError:
            pass
        old.ok("NOOP")


def broken_reload_keeps_the_old_configuration():
    with kpopd(hostname="one.example.org") as server, \
            login(server, "alice") as old:
        pids = server.children()
        for key, value, text in (
                ("nonsense", "1", "unknown key"),
                ("keytab", os.path.join(scratch.name, "no-such"), "no-such"),
                ("store", "mbox:/var/mail/%u", "maildir"),
                ("max_sessions", "0", "a number from 1")):
            kept = dict(server.keys)
            server.keys.pop(key, None)
            server.configure(hostname="two.example.org", **{key: value})
            log = reload(server)
            tap.contains(log, "config.refused")
            tap.contains(log, f"{server.path}:{len(server.keys)}: ")
            tap.contains(log, text)
            server.keys = kept
            with Pop3(server) as new:
                tap.contains(new.greeting, "one.example.org")
            old.ok("NOOP")
        os.unlink(server.path)
        tap.contains(reload(server), "config.refused")
        with login(server, "bob") as new:
            tap.contains(new.greeting, "one.example.org")
        tap.equal(server.children(), pids, "the same processes")


def reload_takes_new_limits_for_new_connections():
    with kpopd(max_sessions=100) as server, login(server, "alice") as old:
        server.configure(max_sessions=2)
        tap.contains(reload(server), "config.reloaded")
        with login(server, "bob"), Line(server.ports["pop3"]) as third:
            tap.contains(third.line(), "-ERR [SYS/TEMP]")
        old.ok("NOOP")


# ---- stop ----

def stop_ends_idle_sessions_without_update():
    server = kpopd()
    ready = server.children()
    with login(server, "alice") as first, login(server, "bob") as second, \
            Pop3(server) as third, ApReq(realm, ccache=realm.ccache(
                "carol")) as req, Kpop(server) as fourth:
        first.ok("DELE 1")
        second.ok("DELE 2")
        fourth.handshake(req.octets)
        began = time.monotonic()
        server.stop()
        took = time.monotonic() - began
        for client in (first, second):
            line = client.line()
            tap.contains(line, "-ERR [SYS/TEMP]")
            tap.contains(line, "nothing was deleted")
            tap.equal(client.rest(), b"", "octets behind it")
        for client in (third, fourth):
            tap.contains(client.line(), "-ERR [SYS/TEMP]")
            tap.equal(client.rest(), b"", "octets behind it")
    tap.true(took < 5 * tap.SLOW, f"took {took} s")
    tap.true(all(map(is_gone, ready)), "no child is left")
    for user in ("alice", "bob"):
        tap.equal(len(names(server, user)), 2, f"messages of {user}")


class Held:
    """A kpopd whose store waits on alice's maildir when told to."""

    def __init__(self):
        directory = place()
        os.makedirs(directory)
        self.control = os.path.join(directory, "control")
        self.hold = os.path.join(directory, "hold")
        library = os.path.join(net.BUILD, "tests/lib/preload_store.so")
        if not os.path.exists(library):
            raise tap.Skip("tests/lib/preload_store.so is not built")
        keys = {"plaintext": "always", "listen_pop3": f"{net.address()}:0"}
        self.server = Kpopd(
            directory, realm, start=False, env={
                "LD_PRELOAD": library, "KPOP_TEST_CONTROL": self.control,
                "KPOP_TEST_MATCH": "/mail/alice/"},
            passwords="file:" + passwords(directory, *USERS), **keys)
        Maildir(self.server, "alice").fill(2)
        self.server.start()

    def arm(self):
        """The store's next call waits in an open() of this FIFO."""
        os.mkfifo(self.control)
        os.chmod(self.control, 0o666)

    def catch(self):
        """It is there: from here to release() it is held."""
        def open_fifo():
            try:
                return os.open(self.control, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return None
        fifo = tap.await_(open_fifo, "the store is called")
        text = f"hold {self.hold}\n"
        with open(self.hold, "w", encoding="ascii"):
            pass
        with open(self.control + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(self.control + ".new", self.control)
        os.write(fifo, text.encode())
        os.close(fifo)

    def release(self):
        os.unlink(self.hold)


def kick_lets_a_running_quit_finish():
    held = Held()
    with login(held.server, "alice") as client:
        client.ok("DELE 1")
        held.arm()
        client.send(b"QUIT\r\n")
        held.catch()
        kick = subprocess.Popen(
            [os.path.join(net.BUILD, "kpopctl"), "-c", held.server.path,
             "kick", "alice"], env=held.server.env, text=True,
            stdout=subprocess.PIPE)
        held.server.await_log("event=session.kicked")
        tap.equal(len(names(held.server, "alice")), 2, "messages meanwhile")
        tap.equal(kick.poll(), None, "kpopctl waits")
        held.release()
        tap.contains(client.line(), "+OK")
        tap.equal(client.rest(), b"", "octets behind QUIT's answer")
        tap.contains(kick.communicate()[0], "of alice has ended")
    held.server.stop()
    tap.equal(len(names(held.server, "alice")), 1, "messages")


def stop_lets_a_running_quit_finish():
    held = Held()
    with login(held.server, "alice") as client:
        client.ok("DELE 1")
        client.ok("DELE 2")
        held.arm()
        client.send(b"QUIT\r\n")
        held.catch()
        mark = held.server.mark()
        held.server.process.send_signal(signal.SIGTERM)
        held.server.await_log("event=process.stop", mark)
        try:
            held.server.process.wait(0.3)
            raise tap.Failure("kpopd did not wait for QUIT")
        except subprocess.TimeoutExpired:
            pass
        tap.equal(len(names(held.server, "alice")), 2, "messages meanwhile")
        held.release()
        tap.contains(client.line(), "+OK")
        tap.equal(client.rest(), b"", "octets behind QUIT's answer")
    held.server.stop()
    tap.equal(names(held.server, "alice"), [], "messages")


def stop_lets_a_running_answer_finish():
    server = kpopd()
    big = b"S: x\n\n" + b"0123456789abcde\n" * (1 << 20)
    Maildir(server, "alice").empty().deliver(big)
    with login(server, "alice") as client:
        client.ok("DELE 1")
        client.ok("RSET")
        client.send(b"RETR 1\r\n")
        tap.contains(client.line(), "+OK")
        mark = server.mark()
        server.process.send_signal(signal.SIGTERM)
        server.await_log("event=process.stop", mark)
        heard = client.rest()
    server.stop()
    message, _, rest = heard.partition(b"\r\n.\r\n")
    tap.equal(len(message) + 2, len(big) + big.count(b"\n"), "octets")
    tap.true(rest == b"" or rest.startswith(b"-ERR [SYS/TEMP]"),
             f"behind it {rest!r}")


class Stuck:
    """A stop that has to wait for a client that doesn't read; begun before
    the other tests, because it lasts half a minute."""

    def __init__(self):
        self.server = kpopd()
        Maildir(self.server, "alice").empty().deliver(b"x" * (64 << 20))
        self.client = login(self.server, "alice")
        self.client.send(b"RETR 1\r\n")
        tap.contains(self.client.line(), "+OK")
        self.children = self.server.children()
        self.began = time.monotonic()
        self.server.process.send_signal(signal.SIGTERM)
        self.took = None
        self.waiter = threading.Thread(target=self.wait, daemon=True)
        self.waiter.start()

    def wait(self):
        self.server.process.wait()
        self.took = time.monotonic() - self.began

    def end(self):
        if self.server is None:
            return
        self.waiter.join(45 * tap.SLOW)
        server, self.server = self.server, None
        server.stop()
        self.client.close()


# ---- limits ----

def full_server_refuses_when_all_have_logged_in():
    with kpopd(max_sessions=3) as server:
        clients = [login(server, user) for user in USERS[:3]]
        with Line(server.ports["pop3"]) as more:
            tap.contains(more.line(), "-ERR [SYS/TEMP]")
            tap.equal(more.rest(), b"", "octets behind it")
        with Line(server.ports["kpop"]) as more:
            tap.equal(more.rest(), b"", "octets before a KPOP handshake")
        for client in clients:
            client.ok("NOOP")
        clients[0].ok("QUIT")
        clients[0].rest()
        clients[0] = login_again(server, "dave")
        for client in clients:
            client.ok("NOOP")
            client.close()


def full_server_lets_the_oldest_unauthenticated_go():
    with kpopd(max_sessions=3) as server:
        with login(server, "alice") as first, Pop3(server) as silent, \
                Pop3(server) as younger, login(server, "bob") as second:
            tap.equal(silent.rest(), b"", "octets to the oldest")
            for client in (first, second):
                client.ok("NOOP")
            younger.ok("CAPA")


def one_address_has_its_limit():
    with kpopd(max_sessions_per_ip=2) as server:
        source = net.address()
        with login(server, "alice", source=source), \
                login(server, "bob", source=source):
            with Line(server.ports["pop3"], source=source) as third:
                tap.contains(third.line(), "-ERR [SYS/TEMP]")
            with login(server, "carol", source="127.0.0.77") as other:
                other.ok("NOOP")


def trusted_networks_have_none():
    with kpopd(max_sessions_per_ip=2,
               trusted_networks="192.0.2.0/24 127.0.7.0/24") as server:
        clients = [login(server, user, source="127.0.7.9")
                   for user in USERS[:4]]
        for client in clients:
            client.ok("NOOP")
        with login(server, "erin", source="127.0.8.9"), \
                login(server, "fred", source="127.0.8.9"), \
                Line(server.ports["pop3"], source="127.0.8.9") as more:
            tap.contains(more.line(), "-ERR [SYS/TEMP]")
        for client in clients:
            client.close()


def oldest_unauthenticated_goes_and_logged_in_ones_never():
    with kpopd(max_unauthenticated=3) as server:
        waiting = [Pop3(server) for _ in range(3)]
        fourth = Pop3(server)
        tap.equal(waiting[0].rest(), b"", "octets to the oldest")
        waiting[1].login("alice").ok("NOOP")
        # 2, fourth and these: two too many.
        more = [Pop3(server) for _ in range(3)]
        for client in (waiting[2], fourth):
            tap.equal(client.rest(), b"", "octets to the next oldest")
        for client in more:
            client.ok("CAPA")
            client.lines()
        waiting[1].ok("STAT")
        server.await_log("event=session.evicted")
        for client in waiting + more + [fourth]:
            client.close()


def worker_that_takes_no_more_leaves_connections_to_the_other():
    """More connections than the channel to a stopped worker holds."""
    with many_connections(1500) as (server, count):
        knock(server, count, server.children("worker")[:1])
        tap.lacks(server.log(), "session.refused")


def workers_that_take_no_more_cost_no_connection():
    """They wait in the kernel's queue until there is time for them."""
    with many_connections(900) as (server, count):
        knock(server, count, server.children("worker"))
        tap.lacks(server.log(), "session.refused")
        tap.contains(server.log(), "too busy to take connections")


@contextlib.contextmanager
def many_connections(count):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        raise tap.Skip(f"RLIMIT_NOFILE's hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with kpopd(max_unauthenticated=count) as server:
        yield server, count


def knock(server, count, stopped):
    """Connects while these workers are stopped; all are greeted at last."""
    greeted = 0
    for pid in stopped:
        server.kill(pid, signal.SIGSTOP)
    try:
        clients = [Line(server.ports["pop3"], seconds=30)
                   for _ in range(count)]
        if len(stopped) < len(server.children("worker")):
            tap.contains(clients[-1].line(), "+OK", "the last greeting")
            greeted = 1
        else:
            server.await_log(r"process\.fail .*too busy")
    finally:
        for pid in stopped:
            server.kill(pid, signal.SIGCONT)
    for client in clients[:len(clients) - greeted]:
        tap.contains(client.line(), "+OK", "greeting")
    for client in clients:
        client.close()


# ---- keys ----

def rotated_keytab_is_taken_without_a_restart():
    name = f"pop3/{net.host()}"
    service = realm.service("pop3")
    with kpopd() as server, ApReq(realm, service, ccache=realm.ccache(
            "alice")) as old:
        with Kpop(server) as client:
            client.handshake(old.octets)
            tap.contains(client.login("alice"), "+OK")
            realm.run("rotate", name)
            server.own_keytab()
            client.ok("NOOP")
        with Kpop(server) as client:
            client.handshake(old.again())
        with ApReq(realm, service, ccache=realm.ccache("alice")) as new:
            with Kpop(server) as client:
                client.handshake(new.octets)
            realm.run("purge", name)
            server.own_keytab()
            with Kpop(server) as client:
                tap.equal(old.error(client.refused(old.again()))[0], 44,
                          "a ticket under the purged key")
            with Kpop(server) as client:
                client.handshake(new.again())
                tap.contains(client.login("alice"), "+OK")


# ---- rights ----

def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii",
              errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file
                    if ":\t" in line)


def processes_have_the_rights_of_their_users():
    if os.getuid() != 0:
        raise tap.Skip("only root's kpopd has several users")
    with kpopd() as server, login(server, "alice"):
        kinds = {"worker": servers.WORKER_USER,
                 "auth-krb": servers.AUTH_USER,
                 "auth-password": servers.AUTH_USER}
        for kind, user in kinds.items():
            entry = pwd.getpwnam(user)
            groups = sorted(os.getgrouplist(user, entry.pw_gid))
            for pid in server.children(kind):
                now = status(pid)
                what = f"of {kind} {pid}"
                tap.equal(now["Uid"].split(), [str(entry.pw_uid)] * 4,
                          f"uids {what}")
                tap.equal(now["Gid"].split(), [str(entry.pw_gid)] * 4,
                          f"gids {what}")
                tap.equal(sorted(map(int, now["Groups"].split())), groups,
                          f"groups {what}")
                tap.equal(now["NoNewPrivs"], "1", f"NoNewPrivs {what}")
                for caps in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
                    tap.equal(int(now[caps], 16), 0, f"{caps} {what}")


def lost_replay_cache_is_told():
    with kpopd() as server:
        fetch = login(server, "alice")
        fetch.close()
        server.stop()
        os.unlink(server.keys["replay_cache"])
        mark = server.mark()
        server.start()
        login(server, "alice").close()
        server.await_log(r"event=kpop\.replay level=warning .*was missing and "
                         "is new", mark)


def worker_can_read_neither_keytab_nor_passwords():
    if os.getuid() != 0:
        raise tap.Skip("only root's kpopd has several users")

    def can_read(user, path):
        entry = pwd.getpwnam(user)
        return subprocess.run(
            ["cat", path], user=entry.pw_uid, group=entry.pw_gid,
            extra_groups=[], check=False, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL).returncode == 0

    with kpopd() as server, login(server, "alice"):
        secrets = [server.keytab, server.keys["passwords"][len("file:"):],
                   server.keys["replay_cache"]]
        for path in secrets:
            tap.true(can_read(servers.AUTH_USER, path), f"auth reads {path}")
            tap.true(not can_read(servers.WORKER_USER, path),
                     f"worker can't read {path}")
        for pid in server.children("worker"):
            links = f"/proc/{pid}/fd"
            for fd in os.listdir(links):
                target = os.readlink(os.path.join(links, fd))
                tap.true(target not in secrets, f"worker has {target} open")


def children_are_not_root_and_leave_no_core():
    with kpopd() as server:
        for pid in server.children():
            with open(f"/proc/{pid}/limits", encoding="ascii") as file:
                core = re.search(r"Max core file size +(\S+) +(\S+)",
                                 file.read())
            tap.equal(core.groups(), ("0", "0"), f"core limit of {pid}")
            tap.true(status(pid)["Uid"].split()[0] != "0"
                     or os.getuid() != 0, f"{pid} is not root")


def stop_waits_thirty_seconds_at_most():
    stuck.end()
    tap.show(f"stopped after {stuck.took:.1f} s with a client that hangs")
    tap.true(5 < stuck.took < 31 * tap.SLOW, f"took {stuck.took} s")
    tap.true(all(map(is_gone, stuck.children)), "no child is left")


if __name__ == "__main__":
    tap.main(globals(), before, after)
