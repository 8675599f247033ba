#!/usr/bin/env python3
# uidl_clients.py - mpop and getmail, which leave mail on the server and know
# it by its unique-ids, move with a maildrop from Dovecot to kpopd and fetch in
# turns while messages come, change flags and go: nothing twice, nothing
# missed; also when workers are killed at random moments.
# KPOP_ROUNDS and KPOP_SEED choose others than 50 and 1.
# TIME-LIMIT: 900
#
# SPDX-License-Identifier: MIT
import collections
import csv
import glob
import os
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../system"))

from harness import net, tap  # noqa: E402 (its folder is known now)

net.enter()

from harness import dovecot as suite, programs, server  # noqa: E402
from harness.realm import Realm  # noqa: E402 (inside the network)
from harness.server import Kpopd, kpopctl, passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

ROUNDS = int(os.environ.get("KPOP_ROUNDS", "50"))
SEED = int(os.environ.get("KPOP_SEED", "1"))
PORT = 110  # clients remember it with the unique-ids

scratch = tempfile.TemporaryDirectory(prefix="kpop-uidl-clients-")
realm = None
counter = 0


@tap.helper
def before():
    global realm
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    suite.cover(os.path.join(scratch.name, "cover"))
    realm = Realm(os.path.join(scratch.name, "realm"))


@tap.helper
def after():
    if realm:
        realm.stop()
    scratch.cleanup()


class Leaving:
    """A client that leaves mail on the server; got() counts the numbers of
    the messages that it delivered."""

    def start(self):
        with open(os.path.join(self.directory, "output"), "ab") as output:
            return subprocess.Popen(
                self.words(), env=self.environment("USER"),
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output)

    def fetch(self):
        """Whether it was content."""
        process = self.start()
        try:
            return process.wait(timeout=60 * tap.SLOW) == 0
        finally:
            process.kill()
            process.wait()

    def fetch_all(self):
        tap.true(self.fetch(), self.said)

    def fetch_rest(self):
        """After a session that was cut off; the server is back soon."""
        tap.await_(self.fetch, self.said, 30)

    def said(self):
        with open(os.path.join(self.directory, "output"), "rb") as file:
            return file.read()[-3000:].decode("utf-8", "backslashreplace")

    def got(self):
        return collections.Counter(
            int(re.search(rb"(?m)^Subject: (\d+)$", text)[1])
            for text in self.delivered("box/*/*"))

    def box(self):
        box = os.path.join(self.directory, "box")
        for name in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(box, name), exist_ok=True)
        return box


class Mpop(Leaving, programs.Mpop):
    def words(self):
        return ["mpop", f"--host={net.host()}", f"--port={PORT}", "--tls=off",
                "--auth=user", "--user=alice", "--keep=on",
                f"--passwordeval=echo {programs.PASSWORD}",
                f"--uidls-file={self.directory}/uidls",
                f"--delivery=maildir,{self.box()}"]


class Getmail(Leaving, programs.Getmail):
    at_once = 0  # all of them

    def words(self):
        deliver = self.file("deliver", "#!/bin/sh\n"
                            f'cat >"$(mktemp {self.box()}/new/XXXXXXXX)"\n',
                            0o700)
        rc = self.file("getmailrc", f"""[retriever]
type = SimplePOP3Retriever
server = {net.host()}
port = {PORT}
username = alice
password = {programs.PASSWORD}
[destination]
type = MDA_external
path = {deliver}
allow_root_commands = true
[options]
received = false
delivered_to = false
read_all = false
delete = false
verbose = 2
max_messages_per_session = {self.at_once}
""")
        return ["getmail", "--getmaildir", self.directory, "--rcfile", rc]


class GetmailOneByOne(Getmail):
    """It notes what it has with the end of a session, whatever
    to_oldmail_on_each_mail says (6.18), so each message gets a session."""
    at_once = 1

    def fetch_rest(self):
        had = None
        while had != (had := self.got()):
            super().fetch_rest()


class Drop:
    """The maildrop, which both servers have; numbers its messages."""

    def __init__(self, path):
        self.path = path
        self.made = 0
        self.there = {}  # number: base of its name

    def deliver(self, count, size):
        for _ in range(count):
            self.made += 1
            base = f"{1000000000 + self.made}.M{self.made}P1.test"
            text = f"Subject: {self.made}\n\n" + "x" * 70 + "\n"
            text += ("y" * 70 + "\n") * (size // 71)
            tmp = os.path.join(self.path, "tmp", base)
            with open(tmp, "w", encoding="ascii") as file:
                file.write(text)
            server.give(os.path.join(self.path, "tmp"), server.WORKER_USER)
            os.rename(tmp, os.path.join(self.path, "new", base))
            self.there[self.made] = base

    def path_of(self, number):
        return glob.glob(os.path.join(self.path, "*",
                                      self.there[number] + "*"))[0]

    def change(self, chance):
        """As an IMAP server: a message is read, another one goes."""
        for number in chance.sample(sorted(self.there), 2):
            flags = "".join(sorted(chance.sample("DFRST", 2)))
            os.rename(self.path_of(number), os.path.join(
                self.path, "cur", f"{self.there[number]}:2,{flags}"))
        if len(self.there) > 25:
            os.unlink(self.path_of(oldest := min(self.there)))
            del self.there[oldest]


def moved(size=100, kinds=(Mpop, Getmail)):
    """kpopd with a maildrop that Dovecot had, and two clients that have
    fetched all of it from there."""
    global counter
    counter += 1
    directory = os.path.join(scratch.name, f"move{counter}")
    dovecot = suite.Dovecot(directory + "-dovecot", realm, start=False)
    drop = Drop(dovecot.box("alice").path)
    drop.deliver(20, size)
    dovecot.start()
    try:
        clients = [kind(os.path.join(directory + "-" + kind.__name__),
                        dovecot, realm) for kind in kinds]
        for client in clients:
            client.fetch_rest()
            tap.equal(client.got(), once(range(1, 21)), "from Dovecot")
    finally:
        dovecot.stop()
    kpopd = Kpopd(directory, start=False, listen_kpop="", workers=6,
                  plaintext="always", listen_pop3=f"{net.address()}:{PORT}",
                  store=f"maildir:{dovecot.mail}/%u/Maildir",
                  passwords="file:" + passwords(directory, "alice"))
    code, out, err = kpopctl(kpopd.path, "uidl", "import", "alice", "-f",
                             "dovecot")
    tap.equal(code, 0, out + err)
    kpopd.start()
    return kpopd, drop, clients


def once(numbers):
    return collections.Counter(numbers)


def mpop_and_getmail_fetch_each_message_once():
    chance = random.Random(SEED)
    kpopd, drop, clients = moved()
    with kpopd:
        for client in clients:
            client.fetch_all()
            tap.equal(client.got(), once(range(1, 21)), "behind the move")
        for number in range(ROUNDS):
            drop.deliver(chance.randint(1, 3), 100)
            for client in clients:
                client.fetch_all()
                tap.equal(client.got(), once(range(1, drop.made + 1)),
                          f"{client.word}, round {number}")
                drop.change(chance)
        tap.show(f"{ROUNDS} rounds, {drop.made} messages, "
                 f"{drop.made - len(drop.there)} of them deleted since")


def killed_workers_make_nobody_fetch_twice_or_miss_mail():
    """Each client notes what it has before it fetches on; one that notes it
    at the end of a long session would fetch again what it forgot."""
    chance = random.Random(SEED)
    kpopd, drop, clients = moved(200000, (Mpop, GetmailOneByOne))
    known, cut = {}, 0
    with kpopd:
        for number in range(ROUNDS):
            drop.deliver(3, 200000)
            for client in clients:
                cut += fetch_and_kill(kpopd, client, chance) != 0
                client.fetch_rest()
                what = f"{client.word}, round {number}"
                tap.equal(client.got(), once(range(1, drop.made + 1)), what)
                keep_track(kpopd, known, what)
                drop.change(chance)
        tap.show(f"{ROUNDS} rounds, {drop.made} messages, {cut} fetches of "
                 f"{2 * ROUNDS} were cut off; each message was fetched once")
        tap.true(cut > ROUNDS // 4, f"only {cut} fetches were cut off")


def keep_track(kpopd, known, what):
    """No message ever has another unique-id, and none that of another."""
    code, out, err = kpopctl(kpopd.path, "uidl", "show", "alice")
    tap.equal(code, 0, out + err)
    for base, uidl in csv.reader(out.splitlines()):
        tap.equal(known.setdefault(base, uidl), uidl, what + ": " + base)
    tap.equal(len(set(known.values())), len(known), what + ": unique-ids")


def fetch_and_kill(kpopd, client, chance):
    """Kills the client's worker at some moment of its session; the client's
    status.  None: mpop, when the connection ends within a message, reads its
    end for ever, and notes nothing when it is killed."""
    mark = kpopd.mark()
    process = client.start()
    try:
        worker = int(kpopd.await_log(r"event=session\.start .*?pid=(\d+)",
                                     mark)[1])
        try:
            process.wait(timeout=chance.uniform(0, 0.03))
        except subprocess.TimeoutExpired:
            pass  # that was the moment
        kpopd.kill(worker)
        return process.wait(timeout=2 * tap.SLOW)
    except subprocess.TimeoutExpired:
        tap.equal(client.word, "mpop", "who hangs")
        return None
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    tap.main(globals(), before, after)
