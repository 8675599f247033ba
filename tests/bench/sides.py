# sides.py - the servers that are compared: the bare responder, kpopd, and
# Dovecot in its best settings, with the same users and the same mail.
#
# SPDX-License-Identifier: MIT
import ctypes
import errno
import glob
import os
import resource
import shutil
import subprocess
import tempfile
import time

from figures import Kpopd, Realm, tap
from meter import program

from harness import dovecot as suite
from harness import net, server, tls

USERS = 64      # user0 ...: with principals
SETTLED = 4     # seconds; an index trusts no younger change
IDLE = 10001    # idle0 ...: with passwords alone
PASSWORD = "secret"
LINE = (b"This is a line of a message of the bench, of seventy-six octets in "
        b"all ....\n")
# crypt(3) of the password, one round of SHA-1: next to nothing.
HASH_SETTING = b"$sha1$1$benchsalt$"


def cheap_hash():
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    return crypt(PASSWORD.encode(), HASH_SETTING).decode()


def names():
    return (["large0"] + [f"user{i}" for i in range(USERS)]
            + [f"idle{i}" for i in range(IDLE)])


def link(text, lines, path):
    """text, by one more name; a file system may have had enough of them."""
    try:
        os.link(text, path)
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.ENOENT):
            raise
        with open(text + ".new", "wb") as file:
            file.write(LINE * lines)
        os.rename(text + ".new", text)
        os.link(text, path)


def fill(path, messages, octets):
    """A maildir whose messages are links to one file, or few, named as
    Dovecot's delivery names them; what was there is gone."""
    shutil.rmtree(path, ignore_errors=True)
    for name in ("new", "cur", "tmp"):
        os.makedirs(os.path.join(path, name))
    lines = -(-octets // (len(LINE) + 1))
    size = lines * len(LINE)
    text = os.path.join(os.path.dirname(path), f".text.{octets}")
    for i in range(messages):
        link(text, lines, f"{path}/cur/{1000000000 + i}.M{i}P1.test,"
             f"S={size},W={size + lines}:2,S")


def settle():
    """Until no server takes what is there for a change of this moment."""
    until = time.time() + SETTLED
    tap.await_(lambda: time.time() > until, "the mail is settled", 60)


class World:
    """The realm, the folder of all, and the certificate."""

    def __init__(self):
        # A disk's file system, as a site has: a tmpfs does not say what it has
        # in memory, and /tmp may be one.
        self.scratch = tempfile.mkdtemp(prefix="kpop-bench-", dir="/var/tmp")
        os.chmod(self.scratch, 0o711)
        net.prepare(self.scratch)
        self.realm = Realm(os.path.join(self.scratch, "realm"))
        self.realm.run("admin", input="".join(
            f"addprinc -pw {PASSWORD} user{i}\n" for i in range(USERS)))
        authority = tls.Authority(os.path.join(self.scratch, "ca"))
        self.certificate, self.key = authority.sign("host", net.host())
        self.covered = False
        self.sides = {}

    def folder(self, name):
        return os.path.join(self.scratch, name)

    def side(self, name):
        """A server that runs; made when first asked for.  None when there is
        no such program here."""
        if name not in self.sides:
            self.sides[name] = self.make(name)
        return self.sides[name]

    def make(self, name):
        if name == "bare":
            return Bare(self)
        if name == "kpopd":
            return Ours(self, name)
        if name == "kpopd-1":
            return Ours(self, name, workers=1, auth_processes=1)
        try:
            if not self.covered:
                suite.cover(self.folder("cover"))
                self.covered = True
            return Theirs(self)
        except tap.Skip as reason:
            print(f"Dovecot: {reason}", flush=True)
            return None

    def stop(self):
        try:
            for side in self.sides.values():
                if side is not None:
                    side.stop()
        finally:
            self.realm.stop()
            shutil.rmtree(self.scratch, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Side:
    """A server: its name, its master's pid, its ports."""

    def __init__(self, world, name):
        self.world = world
        self.realm = world.realm
        self.name = name
        self.pid = None
        self.ports = {}
        self.filled = {}

    def port(self, way="user", security="none", **_):
        if way == "kpop":
            return self.ports["kpop"]
        return self.ports["pop3s" if security == "pop3s" else "pop3"]

    def options(self, options):
        """Those of a load, completed."""
        found = {"users": USERS, "password": PASSWORD,
                 "service": self.realm.service(), **options}
        return {key: int(value) if isinstance(value, bool) else value
                for key, value in found.items()}

    def boxes(self, messages, octets, user="user", count=USERS, first=0):
        """Maildrops with so many messages, if they are not so already."""
        fresh = False
        for i in range(first, first + count):
            name = f"{user}{i}"
            if self.filled.get(name) != (messages, octets):
                fill(self.box(name), messages, octets)
                server.give(os.path.join(self.mail, name), self.owner)
                self.filled[name] = (messages, octets)
                fresh = True
        if fresh:
            settle()


class Bare(Side):
    """tests/bench/bare: one process, all mail in memory."""

    def __init__(self, world):
        super().__init__(world, "bare")
        self.process = None
        self.boxes(1, 4096)

    def boxes(self, messages, octets, **_):
        if self.filled != (messages, octets):
            self.filled = (messages, octets)
            self.restart()

    def restart(self):
        self.stop()
        messages, octets = self.filled
        self.process = subprocess.Popen(
            [program("bare"), str(messages), str(octets),
             self.world.certificate, self.world.key], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid
        words = self.process.stdout.readline().split()
        self.ports = {"pop3": int(words[1]), "pop3s": int(words[2])}

    def stop(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
            self.process = None


class Ours(Side):
    """kpopd."""
    owner = server.WORKER_USER

    def __init__(self, world, name, **keys):
        super().__init__(world, name)
        directory = world.folder(name)
        os.makedirs(directory)
        os.chmod(directory, 0o711)
        hashed = cheap_hash()
        keys = {"listen_pop3": f"{net.address()}:0",
                "listen_pop3s": f"{net.address()}:0",
                "mechanisms": "GSSAPI PLAIN USER CRAM-MD5 APOP",
                "plaintext": "always", "log_level": "info",
                "passwords": self.file(directory, "passwords", hashed),
                "secrets": self.file(directory, "secrets", PASSWORD),
                "tls_certificate": world.certificate, "tls_key": world.key,
                "max_sessions": 12000, "max_sessions_per_ip": 12000, **keys}
        self.kpopd = Kpopd(directory, world.realm, start=False, **keys)
        self.kpopd.files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.mail = self.kpopd.mail
        self.boxes(10, 4096)
        self.restart()

    def restart(self):
        """Processes without a past."""
        self.kpopd.stop()
        self.kpopd.start()
        self.pid = self.kpopd.process.pid
        self.ports = self.kpopd.ports

    def forget(self, _name):
        """What was learned of maildrops."""
        for path in glob.glob(os.path.join(self.kpopd.state, "maildirs/*")):
            os.unlink(path)

    @staticmethod
    def file(directory, name, word):
        path = os.path.join(directory, name)
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{user}:{word}\n" for user in names())
        os.chmod(path, 0o600)
        if os.getuid() == 0:
            server.own(path, server.AUTH_USER)
        return "file:" + path

    def box(self, name):
        return os.path.join(self.mail, name)

    def stop(self):
        self.kpopd.stop()


class Theirs(Side):
    """Dovecot: processes that stay and serve many clients each."""
    owner = suite.MAIL_USER

    def __init__(self, world):
        super().__init__(world, "Dovecot")
        users = "".join(f"{user}:{{PLAIN}}{PASSWORD}::::::\n"
                        for user in names())
        self.dovecot = suite.Dovecot(
            world.folder("dovecot"), world.realm, users=users, start=False,
            more={(2, 3): self.best("service_count = 0"),
                  (2, 4): self.best("restart_request_count = unlimited")})
        self.mail = self.dovecot.mail
        self.ports = {"pop3": 110, "pop3s": 995}
        self.boxes(10, 4096)
        self.restart()

    def restart(self):
        self.dovecot.stop()
        self.dovecot.start()
        self.pid = self.dovecot.process.pid

    def forget(self, name):
        for path in glob.glob(os.path.join(self.box(name), "dovecot*")):
            os.unlink(path)

    @staticmethod
    def best(count):
        processes = os.cpu_count()
        return f"""
auth_mechanisms = plain gssapi cram-md5 apop
mail_max_userip_connections = 0
maildir_very_dirty_syncs = yes
pop3_no_flag_updates = yes
default_client_limit = 20000
default_vsz_limit = 0
service pop3-login {{
  {count}
  client_limit = 10000
  process_min_avail = {processes}
  process_limit = {processes}
  inet_listener pop3s {{
    port = 995
    ssl = yes
  }}
}}
service pop3 {{
  {count}
  client_limit = 10000
  process_min_avail = {processes}
  process_limit = {processes}
}}
"""

    def box(self, name):
        return os.path.join(self.mail, name, "Maildir")

    def stop(self):
        self.dovecot.stop()
