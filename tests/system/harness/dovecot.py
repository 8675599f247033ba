# dovecot.py - Debian's Dovecot with KPOP, on a configuration of its own.
#
# Nothing is installed: /usr/lib/dovecot is covered, in the mount namespace of
# this test alone, by a copy that has our two files, /var/lib/dovecot by an
# empty folder.  So it needs root and net.enter()'s namespace.
#
# SPDX-License-Identifier: MIT
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess

from harness import net, server, tap, tls

LIBEXEC = "/usr/lib/dovecot"
STATE = "/var/lib/dovecot"
MAIL_USER = "mail"


def version():
    """Of the Dovecot that is installed, such as (2, 3, 19)."""
    if shutil.which("dovecot") is None:
        raise tap.Skip("dovecot is not installed")
    text = subprocess.run(["dovecot", "--version"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return tuple(int(n) for n in re.match(r"(\d+)\.(\d+)\.(\d+)",
                                          text).groups())


def ours():
    """Our two files, where they were built."""
    files = [os.path.join(net.BUILD, "dovecot", name)
             for name in ("kpop-login", "libmech_kpop.so")]
    if not all(os.path.exists(f) for f in files):
        raise tap.Skip("built without dovecot-dev")
    return files


def drifted(directory, header, old, new):
    """Our two files, built against headers of which one says something else;
    what a build against another Dovecot would be."""
    include = os.path.join(directory, "include")
    build = os.path.join(directory, "build")
    shutil.copytree("/usr/include/dovecot", include)
    path = os.path.join(include, header)
    with open(path, encoding="ascii") as file:
        text = file.read()
    tap.equal(text.count(old), 1, f"{old!r} in {header}")
    with open(path, "w", encoding="ascii") as file:
        file.write(text.replace(old, new))
    files = [os.path.join(build, "dovecot", name)
             for name in ("kpop-login", "libmech_kpop.so")]
    done = subprocess.run(
        ["make", "-s", "-C", net.ROOT, "BUILD=" + build, "CFLAGS=-O1",
         "DOVECOT_INCLUDE=" + include, *files], check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    tap.equal(done.returncode, 0, f"status of make\n{done.stdout}\n")
    return files


def cover(directory):
    """Puts our files where Dovecot looks for them, once a namespace."""
    if os.getuid() != 0 or not net.is_private():
        raise tap.Skip("only root, in a namespace, can cover " + LIBEXEC)
    version()
    kpop_login, mechanism = ours()
    libexec = os.path.join(directory, "libexec")
    state = os.path.join(directory, "state")
    shutil.copytree(LIBEXEC, libexec, symlinks=True)
    place(kpop_login, mechanism, libexec)
    os.makedirs(state, exist_ok=True)
    os.chmod(state, 0o755)
    for ours_, theirs in ((libexec, LIBEXEC), (state, STATE)):
        subprocess.run(["mount", "--bind", ours_, theirs], check=True)
    return libexec


def place(kpop_login, mechanism, libexec=LIBEXEC):
    """Puts these two there, for the next start."""
    for file, folder in ((kpop_login, libexec),
                         (mechanism, os.path.join(libexec, "modules/auth"))):
        path = os.path.join(folder, os.path.basename(file))
        shutil.copy(file, path + ".new")
        os.rename(path + ".new", path)


class Box:
    """A user's maildir below a Dovecot's mail folder."""

    def __init__(self, dovecot, user):
        self.path = os.path.join(dovecot.mail, user, "Maildir")
        for name in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(self.path, name), exist_ok=True)
        self.made = 0
        self._give()

    def _give(self):
        server.give(os.path.dirname(self.path), MAIL_USER)

    def deliver(self, text):
        self.made += 1
        name = f"{1000000000 + self.made}.M{os.getpid()}{self.made}.test"
        with open(os.path.join(self.path, "new", name), "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        self._give()

    def fill(self, count):
        for i in range(count):
            self.deliver(f"From: bob@example.org\nSubject: {i + 1}\n\n"
                         f"This is message {i + 1}.\n")
        return self

    def names(self):
        return sorted(os.path.basename(p) for folder in ("new", "cur")
                      for p in glob.glob(os.path.join(self.path, folder,
                                                      "*")))

    def empty(self):
        shutil.rmtree(self.path)
        self.__init__(_Folder(os.path.dirname(os.path.dirname(self.path))),
                      os.path.basename(os.path.dirname(self.path)))
        return self


class _Folder:
    def __init__(self, mail):
        self.mail = mail


class Dovecot:
    """One Dovecot.  more: lines of dovecot.conf, or for both versions a dict
    {(2, 3): ..., (2, 4): ...}; module: keys of kpop.conf."""

    def __init__(self, directory, realm, more="", users="", module=None,
                 start=True, ports=None, penalty=False, tls_=True):
        self.directory = directory
        self.realm = realm
        self.version = version()
        self.more = more
        self.users = users
        self.module = module or {}
        self.penalty = penalty
        self.tls = tls_
        self.ports = ports or {"kpop": 1109, "pop3": 110}
        self.mail = os.path.join(directory, "mail")
        self.log_path = os.path.join(directory, "log")
        self.path = os.path.join(directory, "dovecot.conf")
        self.keytab = os.path.join(directory, "keytab")
        self.replay = os.path.join(STATE, "kpop", "replay")
        self.process = None
        os.makedirs(self.mail)
        os.chmod(directory, 0o755)
        os.chmod(realm.directory, 0o711)
        os.chmod(realm.env["KRB5_CONFIG"], 0o644)
        server.give(self.mail, MAIL_USER)
        self.new_keytab(realm.keytab)
        self.authority = tls.Authority(os.path.join(directory, "ca"))
        self.certificate, self.key = self.authority.sign("host", net.host())
        self.configure()
        if start:
            self.start()

    def new_keytab(self, path):
        shutil.copy(path, self.keytab)
        entry = pwd.getpwnam("dovecot")
        os.chown(self.keytab, entry.pw_uid, entry.pw_gid)
        os.chmod(self.keytab, 0o400)

    # ---- configuration ----

    def configure(self):
        users = os.path.join(self.directory, "users")
        with open(users, "w", encoding="ascii") as file:
            file.write(self.users or "".join(
                f"{name}:{{PLAIN}}{name}-password::::::\n"
                for name in ("alice", "bob", "fred")))
        os.chmod(users, 0o644)
        module = os.path.join(self.directory, "kpop.conf")
        with open(module, "w", encoding="ascii") as file:
            for key, value in self.module.items():
                file.write(f"{key} = {value}\n")
        self.environment = {
            "KPOP_MODULE": os.path.join(net.BUILD, "kpop.so"),
            "KPOP_CONFIG": module,
            "KRB5_CONFIG": self.realm.env["KRB5_CONFIG"],
        }
        text = (self._conf_2_4(users) if self.version >= (2, 4)
                else self._conf_2_3(users))
        with open(self.path, "w", encoding="ascii") as file:
            file.write(text + self._more() + "\n")

    def _more(self):
        text = (self.more if isinstance(self.more, str)
                else self.more.get(self.version[:2], ""))
        if not self.penalty:
            text += ("\nservice anvil {\n  unix_listener anvil-auth-penalty "
                     "{\n    mode = 0\n  }\n}\n")
        return text

    def _snippet(self):
        """What we ship, with the ports of this server."""
        name = ("20-kpop-2.4.conf" if self.version >= (2, 4)
                else "20-kpop.conf")
        with open(os.path.join(net.ROOT, "packaging/dovecot", name),
                  encoding="ascii") as file:
            return file.read().replace("port = 1109",
                                       f"port = {self.ports['kpop']}")

    def _listeners(self):
        return f"""
service pop3-login {{
  inet_listener pop3 {{
    port = {self.ports['pop3']}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""

    def _conf_2_3(self, users):
        environment = " ".join(f"{k}={v}" for k, v in
                               self.environment.items())
        return f"""
base_dir = {self.directory}/run
log_path = {self.log_path}
info_log_path = {self.log_path}
debug_log_path = {self.log_path}
listen = {net.address()}
protocols = pop3
import_environment = TZ {environment}
first_valid_uid = 1
mail_location = maildir:~/Maildir
ssl = {"yes" if self.tls else "no"}
ssl_cert = <{self.certificate}
ssl_key = <{self.key}
auth_verbose = yes
auth_mechanisms = plain gssapi
auth_gssapi_hostname = "$ALL"
auth_krb5_keytab = {self.keytab}
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = username_format=%u {users}
}}
userdb {{
  driver = static
  args = uid={MAIL_USER} gid={MAIL_USER} home={self.mail}/%u
}}
""" + self._listeners() + self._snippet()

    def _conf_2_4(self, users):
        environment = "\n".join(f"  {k} = {v}" for k, v in
                                self.environment.items())
        return f"""
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
base_dir = {self.directory}/run
log_path = {self.log_path}
info_log_path = {self.log_path}
debug_log_path = {self.log_path}
listen = {net.address()}
protocols = pop3
import_environment {{
{environment}
}}
first_valid_uid = 1
mail_driver = maildir
mail_path = ~/Maildir
ssl = {"yes" if self.tls else "no"}
ssl_server_cert_file = {self.certificate}
ssl_server_key_file = {self.key}
auth_verbose = yes
auth_mechanisms = plain gssapi
auth_gssapi_hostname = "$ALL"
auth_krb5_keytab = {self.keytab}
auth_allow_cleartext = yes
passdb passwd-file {{
  passwd_file_path = {users}
}}
userdb static {{
  fields {{
    uid = {MAIL_USER}
    gid = {MAIL_USER}
    home = {self.mail}/%{{user}}
  }}
}}
""" + self._listeners() + self._snippet()

    # ---- the process ----

    def _count(self):
        """gcov's figures of kpop-login, which writes them when it ends and
        sees its chroot alone: the same files by another name."""
        if os.environ.get("KPOP_CHECKER") != "coverage":
            return
        inside = os.path.join(self.directory, "run/login")
        for file in glob.glob(os.path.join(net.BUILD, "**/*.gcda"),
                              recursive=True):
            if not os.path.exists(inside + file):
                os.makedirs(os.path.dirname(inside + file), exist_ok=True)
                os.link(file, inside + file)

    def start(self):
        began = self.mark()
        self.process = subprocess.Popen(
            ["dovecot", "-F", "-c", self.path], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
            env=dict(os.environ, PATH=net.PATH))
        tap.await_(lambda: self._is_ready(began),
                   lambda: "dovecot is ready\n" + self.log(began), 20)
        self._count()
        return self

    def _is_ready(self, since):
        if self.process.poll() is not None:
            said = self.process.stdout.read().decode()
            raise tap.Failure("dovecot ended:\n" + said + self.log(since))
        return "starting up for" in self.log(since)

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20 * tap.SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise tap.Failure("dovecot does not end:\n"
                              + self.log()) from None
        finally:
            self.process.stdout.close()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def log(self, since=0):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, encoding="utf-8",
                  errors="backslashreplace") as file:
            file.seek(since)
            return file.read()

    def mark(self):
        return (os.path.getsize(self.log_path)
                if os.path.exists(self.log_path) else 0)

    def await_log(self, pattern, since=0, seconds=10):
        return tap.await_(lambda: re.search(pattern, self.log(since)),
                          lambda: f"log line {pattern!r} in\n"
                          + self.log(since), seconds)

    def processes(self, name):
        """Pids of the master's children with that program."""
        found = []
        for stat in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(stat, encoding="ascii", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
                pid = int(stat.split("/")[2])
                program = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                continue
            if (int(fields[1]) == self.process.pid and fields[0] != "Z"
                    and os.path.basename(program) == name):
                found.append(pid)
        return sorted(found)

    def doveadm(self, *words):
        done = subprocess.run(["doveadm", "-c", self.path, *words],
                              text=True, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.stdout

    def box(self, user):
        return Box(self, user)
