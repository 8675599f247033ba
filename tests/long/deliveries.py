#!/usr/bin/env python3
# deliveries.py - Dovecot's LDA delivers into a maildir, twice a second and
# then in bursts between which an index comes to be trusted, while 1000
# sessions of two kpopd, each with its own index, fetch and delete and another
# program sets flags: every message is seen exactly once.
# TIME-LIMIT: 900
#
# SPDX-License-Identifier: MIT
import glob
import os
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../system"))

from harness import net, tap  # noqa: E402 (its folder is known now)

net.enter()

from harness import dovecot, server  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.server import Kpopd, passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

LDA = "/usr/lib/dovecot/dovecot-lda"
SESSIONS = int(os.environ.get("KPOP_SESSIONS", "1000"))
EVERY = 0.5    # seconds between deliveries
BURST = 4      # deliveries, in the second half
QUIET = 5      # seconds behind a burst: more than an index needs to settle
SESSION = 0.1  # seconds between sessions

scratch = tempfile.TemporaryDirectory(prefix="kpop-deliveries-")
hosts = []
maildir = None


@tap.helper
def before():
    global maildir
    if not os.path.exists(LDA) or os.getuid() != 0:
        raise tap.Skip("Dovecot's LDA, as root")
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    for name in ("one", "two"):
        directory = os.path.join(scratch.name, name)
        more = {"store": hosts[0].keys["store"]} if hosts else {}
        hosts.append(Kpopd(
            directory, plaintext="always", listen_kpop="",
            listen_pop3=f"{net.address()}:0", log_level="info",
            passwords="file:" + passwords(directory, "alice"), **more))
    maildir = Maildir(hosts[0], "alice")


@tap.helper
def after():
    for kpopd in hosts:
        kpopd.stop()
    scratch.cleanup()


class Deliveries(threading.Thread):
    """Numbered messages, until told to end."""

    def __init__(self):
        super().__init__()
        self.over = threading.Event()
        self.quiet = threading.Event()  # from now on in bursts
        self.count = 0
        self.error = None
        self.config = os.path.join(scratch.name, "lda.conf")
        where = (("mail_driver = maildir", f"mail_path = {maildir.path}")
                 if dovecot.version() >= (2, 4)
                 else (f"mail_location = maildir:{maildir.path}",))
        if dovecot.version() >= (2, 4):
            where = ("dovecot_config_version = 2.4.0",
                     "dovecot_storage_version = 2.4.0", *where)
        with open(self.config, "w", encoding="ascii") as file:
            file.write("\n".join((*where, "ssl = no",
                                  f"log_path = {scratch.name}/lda.log", "")))
        os.chmod(self.config, 0o644)
        with open(f"{scratch.name}/lda.log", "wb"):
            os.chmod(f"{scratch.name}/lda.log", 0o666)

    def deliver(self):
        subprocess.run(
            [LDA, "-c", self.config, "-f", "bob@example.org"], check=True,
            user=server.WORKER_USER, group=server.WORKER_USER,
            extra_groups=[], env=dict(os.environ, HOME=maildir.path,
                                      USER=server.WORKER_USER),
            input=f"Subject: {self.count}\n\nbody\n".encode())
        self.count += 1

    def set_flags(self):
        """As a reader of another kind: what is new moves to cur."""
        for name in os.listdir(os.path.join(maildir.path, "new"))[::2]:
            try:
                maildir.rename(name, "cur", ":2,S")
            except FileNotFoundError:
                pass  # a session has deleted it

    def run(self):
        try:
            while not self.over.wait(EVERY):
                self.deliver()
                self.set_flags()
                if self.quiet.is_set() and self.count % BURST == 0:
                    self.over.wait(QUIET)
        except Exception as error:  # the test's thread tells it
            self.error = error


def fetch(kpopd, known, found, erase):
    """One session of a client that remembers uidls."""
    with Pop3(kpopd) as client:
        client.login("alice")
        count, octets = map(int, client.ok("STAT").split()[1:3])
        sizes = [int(line.split()[1]) for line in client.multi("LIST")]
        uidls = [line.split()[1] for line in client.multi("UIDL")]
        tap.equal((len(sizes), sum(sizes)), (count, octets), "LIST")
        tap.equal(len(set(uidls)), count, "UIDL")
        for msg, uidl in enumerate(uidls, 1):
            if uidl not in known:
                known.add(uidl)
                lines = client.multi(f"RETR {msg}")
                found += [int(line.split()[1]) for line in lines
                          if line.startswith("Subject: ")]
                tap.equal(sum(len(line) + 2 for line in lines),
                          sizes[msg - 1], "octets")
            if erase:
                client.ok(f"DELE {msg}")
        client.ok("QUIT")


def every_message_is_seen_exactly_once():
    known, found = set(), []
    deliveries = Deliveries()
    deliveries.start()
    pause = threading.Event()
    try:
        for i in range(SESSIONS):
            if i == SESSIONS // 2:
                deliveries.quiet.set()
            fetch(hosts[i % 2], known, found, erase=i % 16 == 15)
            pause.wait(SESSION)
    finally:
        deliveries.over.set()
        deliveries.join()
    tap.true(deliveries.error is None, f"{deliveries.error}")
    for kpopd in hosts:
        fetch(kpopd, known, found, erase=False)
        tap.true(glob.glob(os.path.join(kpopd.state, "maildirs/*")),
                 "an index was kept")
    tap.equal(sorted(found), list(range(deliveries.count)), "messages")
    print(f"# {deliveries.count} messages, {SESSIONS} sessions")


if __name__ == "__main__":
    tap.main(globals(), before, after)
