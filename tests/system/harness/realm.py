# realm.py - the throwaway Kerberos realm of tests/lib/realm.sh, tickets, and
# mkapreq, the raw AP-REQ client.
#
# SPDX-License-Identifier: MIT
import os
import subprocess

from harness import net, tap

_SCRIPT = os.path.join(net.ROOT, "tests/lib/realm.sh")


class Realm:
    """One realm with its KDC; stop() ends it."""

    def __init__(self, directory, *options):
        for program in ("krb5kdc", "kadmin.local", "kinit"):
            if not any(os.access(os.path.join(d, program), os.X_OK)
                       for d in net.PATH.split(":")):
                raise tap.Skip(f"{program} is not installed")
        self.directory = directory
        self.counter = 0
        output = self._run("start", directory, "--host", net.host(),
                           "--lifetime", "1800", *options)
        self.env = dict(line.split("=", 1) for line in output.splitlines()
                        if "=" in line)
        self.keytab = self.env["REALM_KEYTAB"]

    def _run(self, *words, **more):
        done = subprocess.run(["sh", _SCRIPT, *words], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              **more)
        if done.returncode == 77:
            raise tap.Skip(done.stderr.strip() or "realm.sh lacks something")
        if done.returncode != 0:
            raise tap.Failure(f"realm.sh {words}: {done.stdout}{done.stderr}")
        return done.stdout

    def run(self, command, *words, **more):
        """rotate, rekey, purge, keytab, admin ... of realm.sh."""
        return self._run(command, self.directory, *words, **more)

    def ccache(self, user, *options):
        """A new credential cache with a ticket-granting ticket of user."""
        self.counter += 1
        path = os.path.join(self.directory, f"cc.{self.counter}")
        self._run("kinit", self.directory, user, path, *options)
        return path

    def empty_ccache(self):
        self.counter += 1
        return os.path.join(self.directory, f"cc.{self.counter}")

    def service(self, name="pop", host=None):
        return f"{name}/{host or net.host()}@EXAMPLE.ORG"

    def stop(self):
        self._run("stop", self.directory)


class ApReq:
    """mkapreq as a coprocess: an AP-REQ and the judge of its answer."""

    def __init__(self, realm, service=None, **options):
        words = [os.path.join(net.BUILD, "tests/lib/mkapreq"),
                 "--service", service or realm.service()]
        for name, value in options.items():
            words.append("--" + name)
            if value is not True:
                words.append(str(value))
        env = dict(os.environ, **realm.env)
        self.process = subprocess.Popen(
            words, env=env, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline().split()
        if len(line) != 2:
            raise tap.Failure("mkapreq: " + self.process.stderr.read())
        self.octets = bytes.fromhex(line[1])

    def _ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def judge(self, ap_rep):
        """ "ok" when the AP-REP proves the server. """
        return self._ask("aprep " + ap_rep.hex())

    def error(self, krb_error):
        """(code, text) of a KRB_ERROR."""
        answer = self._ask("krberror " + krb_error.hex())
        words = answer.split(" ", 3)
        if words[0] != "code":
            raise tap.Failure("not a KRB_ERROR: " + answer)
        return int(words[1]), words[3] if len(words) > 3 else ""

    def again(self):
        """A fresh AP-REQ with the same ticket."""
        self.octets = bytes.fromhex(self._ask("again").split()[1])
        return self.octets

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
