# server.py - kpopd under test: its configuration, its processes, its log.
#
# Every server gets a folder of its own with state, mail and log.  stop() asks
# for the orderly end and checks it: status 0 and no process left behind.
#
# SPDX-License-Identifier: MIT
import os
import pwd
import re
import resource
import shlex
import shutil
import signal
import subprocess

from harness import net, tap

# Users that every Debian has; a site makes its own.
WORKER_USER, AUTH_USER = "mail", "daemon"


def give(path, user):
    """Root's kpopd drops its rights, so its files need their owners."""
    if os.getuid() != 0:
        return
    entry = pwd.getpwnam(user)
    for folder, _, files in os.walk(path):
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        for name in files:
            os.chown(os.path.join(folder, name), entry.pw_uid, entry.pw_gid)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def passwords(directory, *users, method="-6"):
    """A password file where NAME's password is NAME-password; its path."""
    path = os.path.join(directory, "passwords")
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o711)
    done = subprocess.run(
        ["openssl", "passwd", method, "-stdin"], text=True, check=True,
        input="".join(f"{user}-password\n" for user in users),
        stdout=subprocess.PIPE)
    with open(path, "w", encoding="ascii") as file:
        for user, hashed in zip(users, done.stdout.split()):
            file.write(f"{user}:{hashed}\n")
    os.chmod(path, 0o600)
    if os.getuid() == 0:
        own(path, AUTH_USER)
    return path


def secrets(directory, *users):
    """A file of secrets where NAME's secret is NAME-password; its path."""
    path = os.path.join(directory, "secrets")
    os.makedirs(directory, exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{user}:{user}-password\n" for user in users)
    os.chmod(path, 0o600)
    if os.getuid() == 0:
        own(path, AUTH_USER)
    return path


def own(path, user):
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


class Kpopd:
    """One kpopd.  Keyword arguments are configuration keys."""

    def __init__(self, directory, realm=None, env=None, start=True, **keys):
        self.directory = directory
        self.files = None  # a limit of open files to be started under
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o711)
        self.mail = os.path.join(directory, "mail")
        self.state = os.path.join(directory, "state")
        self.log_path = os.path.join(directory, "log")
        self.path = os.path.join(directory, "plugin.conf")
        os.makedirs(self.mail, exist_ok=True)
        os.makedirs(self.state, exist_ok=True)
        self.env = dict(os.environ, **(realm.env if realm else {}))
        self.env.update(env or {})
        self.keys = {
            "hostname": net.host(),
            "listen_kpop": f"{net.address()}:0",
            "replay_cache": os.path.join(self.state, "replay"),
            "state_dir": self.state,
            "store": f"maildir:{self.mail}/%u",
            "workers": 2,
            "auth_processes": 2,
            "log_level": "debug",
            "max_sessions_per_ip": 10000,
            "login_failure_delay": 0,
            "auth_timeout": 5 * tap.SLOW,
        }
        self.keytab = realm.keytab if realm else None
        if os.environ.get("KPOP_CHECKER"):
            self.keys["sandbox"] = "no"  # sanitizers look at their processes
        # What is preloaded into workers reads these.
        for name in ("KPOP_TEST_CONTROL", "FAKETIME_TIMESTAMP_FILE"):
            if name in self.env:
                self.keys["sandbox_paths"] = os.path.dirname(self.env[name])
        if realm:
            if keys.get("max_ssf", 0):
                self.keytab = os.path.join(directory, "keytab")
                shutil.copy(realm.keytab, self.keytab)
            self.keys["keytab"] = self.keytab
            os.chmod(realm.directory, 0o711)
            os.chmod(realm.env["KRB5_CONFIG"], 0o644)
        if os.getuid() == 0:
            self.keys["run_as"] = WORKER_USER
            self.keys["auth_user"] = AUTH_USER
        self.keys.update(keys)
        if realm:
            self.own_keytab()
        self.process = None
        self.ports = {}
        self.configure()
        give(self.state, AUTH_USER)
        give(self.mail, WORKER_USER)
        if start:
            self.start()

    def own_keytab(self):
        """Also when kadmin has written a new file.  For layers the workers
        read it, too."""
        if os.getuid() == 0:
            own(self.keytab, AUTH_USER)
        if os.getuid() == 0 and self.keys.get("max_ssf", 0):
            os.chown(self.keytab, -1, pwd.getpwnam(WORKER_USER).pw_gid)
            os.chmod(self.keytab, 0o640)

    def configure(self, **keys):
        """Writes the file; a key with value None is left out."""
        self.keys.update(keys)
        with open(self.path, "w", encoding="utf-8") as file:
            for key, value in self.keys.items():
                if value is not None:
                    file.write(f"{key} = {value}\n")

    def start(self):
        self.spawn()
        tap.await_(self._is_ready, lambda: "kpopd is ready\n" + self.log(),
                   20)
        for service, port in re.findall(
                r"event=process\.listen .*service=(\w+) .*port=(\d+)",
                self.log()):
            self.ports[service] = int(port)
        return self

    def spawn(self):
        words = shlex.split(os.environ.get("KPOP_WRAP", ""))
        words += [os.path.join(net.BUILD, "kpopd"), "-c", self.path]
        with open(self.log_path, "ab") as log:
            self.started_at = log.tell()
            self.process = subprocess.Popen(
                words, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd="/", preexec_fn=self._limit)

    def _limit(self):
        if self.files:
            resource.setrlimit(resource.RLIMIT_NOFILE,
                               (self.files, self.files))

    def _is_ready(self):
        if self.process.poll() is not None:
            raise tap.Failure("kpopd ended:\n" + self.log())
        return "event=process.ready" in self.log(self.started_at)

    def log(self, since=0):
        with open(self.log_path, encoding="utf-8",
                  errors="backslashreplace") as file:
            file.seek(since)
            return file.read()

    def mark(self):
        """Where the log ends now, for log(since)."""
        return os.path.getsize(self.log_path)

    def await_log(self, pattern, since=0, seconds=10):
        return tap.await_(lambda: re.search(pattern, self.log(since)),
                          lambda: f"log line {pattern!r} in\n"
                          + self.log(since),
                          seconds)

    def children(self, kind=None):
        """Pids of living processes: worker, auth-krb or auth-password;
        None: all."""
        found = []
        for line in self.log().splitlines():
            match = re.search(r"event=process\.start .*kind=(\S+) child=(\d+)",
                              line)
            if match and kind in (None, match.group(1)):
                pid = int(match.group(2))
                if _parent(pid) == self.process.pid:
                    found.append(pid)
        return found

    def kill(self, pid, number=signal.SIGKILL):
        """Ends one of our children, and no other process."""
        tap.true(_parent(pid) == self.process.pid, f"{pid} is kpopd's child")
        os.kill(pid, number)

    def await_other(self, kind, old):
        """Until as many processes run as in `old`, and none of those."""
        def are_new():
            now = self.children(kind)
            return len(now) == len(old) and not set(now) & set(old)
        tap.await_(are_new, f"new processes {kind}")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self, status=0):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=40 * tap.SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "killed after 40 s"
        self.process = None
        if status is not None and code != status:
            raise tap.Failure(f"kpopd ended with {code}:\n{self.log()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii",
                  errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
            return None if fields[0] == "Z" else int(fields[1])
    except OSError:
        return None


def memory(pid, field="Pss"):
    """Octets of a process: Pss, Rss, ... of smaps_rollup."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise tap.Failure(f"no {field} of {pid}")


def remembered(pid, wanted):
    """Which of the words stand in the writable memory of a process."""
    found = []
    try:
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
                open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
            for line in maps:
                area = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if not area or "[v" in line:
                    continue
                start, end = (int(x, 16) for x in area.groups())
                mem.seek(start)
                octets = mem.read(end - start)
                found += [f"{line.strip()} has {w!r} at {octets.find(w):#x}"
                          for w in wanted if w in octets]
    except PermissionError:
        raise tap.Skip("the memory of kpopd may not be read") from None
    return found


def kpopctl(path, *words, env=None):
    """(status, stdout, stderr)."""
    done = subprocess.run([os.path.join(net.BUILD, "kpopctl"), "-c", path,
                           *words], text=True, check=False,
                          stdin=subprocess.DEVNULL,
                          env=dict(os.environ, **(env or {})),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60 * tap.SLOW)
    return done.returncode, done.stdout, done.stderr


def kpopctl_as(user, path, *words, env=None):
    """The same as another user, who may not reach the build folder: from
    copies beside the configuration."""
    entry = pwd.getpwnam(user)
    for name in ("kpopctl", "kpop.so"):
        shutil.copy(os.path.join(net.BUILD, name), os.path.dirname(path))
    program = os.path.join(os.path.dirname(path), "kpopctl")
    done = subprocess.run(
        [program, "-c", path, "-m", program.replace("kpopctl", "kpop.so"),
         *words], text=True, check=False, stdin=subprocess.DEVNULL,
        env=dict(os.environ, **(env or {})), user=entry.pw_uid,
        group=entry.pw_gid, extra_groups=[], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=60 * tap.SLOW)
    return done.returncode, done.stdout, done.stderr


def check(path, env=None):
    """kpopctl check: (status, output)."""
    done = subprocess.run([os.path.join(net.BUILD, "kpopctl"), "-c", path,
                           "check"], text=True, check=False,
                          env=dict(os.environ, **(env or {})),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout
