# programs.py - the programs of Debian that fetch mail by POP3, one class each,
# every run in a home of its own.
#
# fetch(mechanism) gives the messages that arrived as octets with LF line ends;
# what the program said is kept in output.  tls is "", "STLS" or "POP3S"; then
# the program trusts what is in the file ca, and that alone.  None of them sees the real home,
# /etc/krb5.conf or a ticket of the user's own.
#
# SPDX-License-Identifier: MIT
import fcntl
import glob
import os
import poplib
import pty
import re
import select
import shlex
import shutil
import ssl
import struct
import subprocess
import termios
import threading
import time

from harness import clients, net, tap

PASSWORD = "alice-password"
KERBEROS = ("GSSAPI", "KPOP")


class Program:
    """A client program; word is what to look for in PATH."""
    word = None

    def __init__(self, directory, kpopd, realm, tls="", ca=None):
        if self.word and not self.path():
            raise tap.Skip(f"{self.word} is not installed")
        self.directory = directory
        self.kpopd = kpopd
        self.realm = realm
        self.tls = tls
        self.ca = ca
        self.port = kpopd.ports["pop3s" if tls == "POP3S" else "pop3"]
        self.output = ""
        os.makedirs(directory, mode=0o700)

    def path(self):
        return shutil.which(self.word)

    def file(self, name, text, mode=0o600):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def environment(self, mechanism):
        env = {"PATH": os.environ["PATH"], "HOME": self.directory,
               "TMPDIR": self.directory, "LC_ALL": "C", "USER": "alice",
               "LOGNAME": "alice", "TERM": "vt100",
               "KRB5_CONFIG": self.realm.env["KRB5_CONFIG"],
               "KRB5CCNAME": self.realm.empty_ccache()}
        if mechanism.startswith(KERBEROS):
            env["KRB5CCNAME"] = self.realm.ccache("alice")
        return env

    def run(self, words, mechanism, text="", **more):
        """Output and exit status; the program failing is a failure."""
        env = dict(self.environment(mechanism), **more)
        try:
            done = subprocess.run(
                words, env=env, cwd=self.directory, input=text.encode(),
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=30 * tap.SLOW, check=False)
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"").decode("utf-8", "backslashreplace")
            raise tap.Failure(f"{words} does not end:\n{said}") from None
        self.output = done.stdout.decode("utf-8", "backslashreplace")
        tap.equal(done.returncode, 0,
                  f"status of {shlex.join(words)}\n{self.output}\n")
        return done.stdout

    def delivered(self, pattern):
        """Files below the home, each a message."""
        found = []
        for path in sorted(glob.glob(os.path.join(self.directory, pattern))):
            with open(path, "rb") as file:
                found.append(file.read())
        return found


class Fetchmail(Program):
    word = "fetchmail"
    ways = {"USER": ("pop3", "password"), "APOP": ("apop", "any"),
            "CRAM-MD5": ("pop3", "cram-md5"), "GSSAPI": ("pop3", "gssapi"),
            "KPOP": ("kpop", "kerberos_v5")}
    wants = {"": "sslproto '' no sslcertck", "STLS": "sslcertck",
             "POP3S": "ssl sslcertck"}

    def fetch(self, mechanism):
        protocol, auth = self.ways[mechanism.split("+")[0]]
        port = 1109 if mechanism == "KPOP" else self.port
        client = clients.Fetchmail(
            os.path.join(self.directory, "home"), port, protocol, "alice",
            auth, PASSWORD, "no rewrite",
            self.wants[self.tls]
            + (f" sslcertfile {self.ca}" if self.tls else ""))
        status = client.run(self.realm, self.environment(
            mechanism)["KRB5CCNAME"], 30)
        self.output = client.output
        tap.equal(status, 0, f"status of fetchmail\n{self.output}\n")
        return client.got()


class Curl(Program):
    word = "curl"

    def fetch(self, mechanism):
        login = {"USER": "AUTH=*", "APOP": "AUTH=+APOP"}.get(
            mechanism, "AUTH=" + mechanism.split("+")[0])
        # It takes GSSAPI only for users with a realm.
        user = ("alice@EXAMPLE.ORG:" if mechanism.startswith("GSSAPI")
                else f"alice:{PASSWORD}")
        scheme = "pop3s" if self.tls == "POP3S" else "pop3"
        words = ["curl", "-q", "-s", "-v", "--login-options", login,
                 "-u", user, "-o", "got",
                 f"{scheme}://{net.host()}:{self.port}/1"]
        if self.tls:
            words[2:2] = ["--ssl-reqd", "--cacert", self.ca]
        if mechanism.endswith("+IR"):
            words.insert(2, "--sasl-ir")
        self.run(words, mechanism)
        if mechanism.startswith("PLAIN"):
            tap.equal("> AUTH PLAIN AGFsaWNl" in self.output,
                      "--sasl-ir" in words, "an initial response was sent")
        return [m.replace(b"\r\n", b"\n") for m in self.delivered("got")]


class Mpop(Program):
    word = "mpop"

    def fetch(self, mechanism):
        way = mechanism.split("+")[0].lower()
        self.run(["mpop", f"--host={net.host()}", f"--port={self.port}",
                  *self.security(), f"--auth={way}", "--user=alice",
                  f"--passwordeval=echo {PASSWORD}", "--keep=on",
                  "--received-header=off", "--uidls-file=" + os.path.join(
                      self.directory, "uidls"),
                  f"--delivery=maildir,{self.maildir()}"], mechanism)
        return self.delivered("box/new/*")

    def security(self):
        if not self.tls:
            return ["--tls=off"]
        stls = "on" if self.tls == "STLS" else "off"
        return ["--tls=on", f"--tls-starttls={stls}",
                f"--tls-trust-file={self.ca}"]

    def maildir(self):
        for name in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(self.directory, "box", name))
        return os.path.join(self.directory, "box")


class Getmail(Program):
    """It delivers nothing itself when it is root, so a script does."""
    word = "getmail"

    def fetch(self, mechanism):
        deliver = self.file("deliver", "#!/bin/sh\n"
                            f'cat >"{self.directory}/got.$$"\n', 0o700)
        apop = "true" if mechanism == "APOP" else "false"
        kind, trust = "SimplePOP3Retriever", ""
        if self.tls:
            kind, trust = "SimplePOP3SSLRetriever", f"ca_certs = {self.ca}"
        rc = self.file("getmailrc", f"""[retriever]
type = {kind}
{trust}
server = {net.host()}
port = {self.port}
username = alice
password = {PASSWORD}
use_apop = {apop}
[destination]
type = MDA_external
path = {deliver}
allow_root_commands = true
[options]
received = false
delivered_to = false
delete = false
verbose = 2
""")
        self.run(["getmail", "--getmaildir", self.directory, "--rcfile", rc],
                 mechanism)
        return self.delivered("got.*")


class Mutt(Program):
    """It wants a terminal, and gets one."""
    word = "mutt"

    def fetch(self, mechanism):
        box = os.path.join(self.directory, "box")
        way = mechanism.split("+")[0].lower()
        scheme = "pops" if self.tls == "POP3S" else "pop"
        rc = self.file("muttrc", f"""set pop_authenticators="{way}"
set pop_user=alice pop_pass={PASSWORD}
set folder={self.directory} spoolfile={self.directory}/none
set mbox_type=Maildir confirmappend=no confirmcreate=no copy=no
set quit=yes delete=no message_cachedir="" header_cache="" wait_key=no
set pop_reconnect=no timeout=1 mail_check=1 sleep_time=0 postponed=""
set certificate_file="" tunnel="" {self.security()}
unset pop_delete
push "<tag-pattern>.<enter><tag-prefix><copy-message>{box}<enter><quit>"
""")
        self.on_terminal(["mutt", "-n", "-F", rc, "-f",
                          f"{scheme}://alice@{net.host()}:{self.port}/"],
                         mechanism)
        return self.delivered("box/new/*") + self.delivered("box/cur/*")

    def security(self):
        if not self.tls:
            return "ssl_starttls=no ssl_force_tls=no"
        return (f"ssl_starttls=yes ssl_force_tls=yes "
                f'ssl_ca_certificates_file="{self.ca}"')

    def on_terminal(self, words, mechanism):
        ours, its = pty.openpty()
        # Without a size curses of Debian 13 opens no terminal.
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen(
            words, env=self.environment(mechanism), cwd=self.directory,
            stdin=its, stdout=its, stderr=its, start_new_session=True)
        os.close(its)
        heard = b""
        deadline = time.monotonic() + 30 * tap.SLOW
        try:
            while time.monotonic() < deadline:
                ready, _, _ = select.select([ours], [], [], 1)
                if not ready and process.poll() is not None:
                    break
                if ready:
                    heard += os.read(ours, 65536)
        except OSError:
            pass  # its end of the terminal was closed
        finally:
            os.close(ours)
            if process.poll() is None and time.monotonic() > deadline:
                process.kill()
            status = process.wait()
            self.output = heard.decode("utf-8", "backslashreplace")
        tap.equal(status, 0, f"status of mutt\n{self.output}\n")


class Inc(Program):
    """nmh's inc; It takes the strongest layer that is offered."""
    word = "/usr/bin/mh/inc"

    def fetch(self, mechanism):
        self.file("profile", f"Path: {self.directory}/mh\n"
                  f"credentials: file:{self.directory}/netrc\n")
        self.file("netrc", f"machine {net.host()} login alice password "
                  f"{PASSWORD}\n")
        os.makedirs(os.path.join(self.directory, "mh", "inbox"))
        words = [self.word, "+inbox", "-host", net.host(), "-port",
                 str(self.port), "-user", "alice", "-notruncate", "-snoop",
                 "-noaudit", "-nochangecur"]
        if mechanism != "USER":
            words += ["-sasl", "-saslmech", mechanism.split("+")[0].lower()]
        words += {"": [], "STLS": ["-tls"], "POP3S": ["-initialtls"]}[self.tls]
        self.run(words, mechanism, MH=os.path.join(self.directory, "profile"),
                 SSL_CERT_FILE=self.ca or "")
        return self.delivered("mh/inbox/[0-9]*")


class Pop3test(Program):
    """Of Cyrus IMAP, which is unpacked below the build folder: it would
    bring a whole mail system along.  "GSSAPI+256" is a layer of 256 bits."""
    word = "pop3test"

    def path(self):
        for root in (os.path.join(net.BUILD, "unpacked"), ""):
            path = os.path.join(root + "/usr/lib/cyrus/bin/pop3test")
            if os.access(path, os.X_OK):
                return path
        return None

    def fetch(self, mechanism):
        name, _, layer = mechanism.partition("+")
        layer = layer or "0"
        words = [self.path(), "-p", str(self.port), "-a", "alice", "-u",
                 "alice", "-w", PASSWORD, "-m",
                 {"USER": "user"}.get(name, name), "-k", layer, "-l", layer,
                 *{"": [], "STLS": ["-t", ""], "POP3S": ["-s"]}[self.tls],
                 net.host()]
        libraries = ":".join(glob.glob(os.path.join(
            net.BUILD, "unpacked/usr/lib/*-linux-gnu*")))
        heard = self.run(words, mechanism, "RETR 1\r\nQUIT\r\n",
                         LD_LIBRARY_PATH=libraries)
        # TLS counts, too.
        tap.contains(self.output, "Security strength factor: "
                     f"{'256' if self.tls else layer}\n")
        message = re.search(rb"(?s)\n\+OK [^\n]*\n((?:(?!\n\+OK ).)*?\n)"
                            rb"\.\r\n[^\n]*\+OK bye", heard)
        tap.true(message, f"a message in\n{self.output}")
        return [re.sub(rb"(?m)^\.", b"", message[1].replace(b"\r", b""))]


class NetPop3(Program):
    """Perl's Net::POP3, with Authen::SASL for the mechanisms."""
    word = "perl"

    def fetch(self, mechanism):
        script = self.file("fetch.pl", """use strict;
use Net::POP3;
my ($host, $port, $mechanism, $password, $tls, $ca) = @ARGV;
my @trust = $tls ? (SSL_ca_file => $ca) : ();
my $pop = Net::POP3->new($host, Port => $port, Timeout => 20, Debug => 1,
                         SSL => $tls eq 'POP3S', @trust)
    or die "no connection: $@";
$tls ne 'STLS' or $pop->starttls(@trust) or die "no TLS: ", $pop->message;
my $count;
if ($mechanism eq 'USER') {
    $count = $pop->login('alice', $password);
} elsif ($mechanism eq 'APOP') {
    $count = $pop->apop('alice', $password);
} else {
    require Authen::SASL;
    my $sasl = Authen::SASL->new(mechanism => $mechanism, callback => {
        user => $mechanism eq 'GSSAPI' ? '' : 'alice', pass => $password,
        authname => '' });
    $pop->auth($sasl) or die "refused: ", $pop->message;
    $count = ($pop->popstat)[0];
}
defined $count or die "refused: ", $pop->message;
open my $got, '>', 'got' or die;
print $got @{$pop->get(1)};
close $got;
$pop->quit;
""")
        self.run(["perl", script, net.host(), str(self.port), mechanism,
                  PASSWORD, self.tls, self.ca or ""], mechanism)
        return [m.replace(b"\r\n", b"\n") for m in self.delivered("got")]


class Poplib(Program):
    """The module of the Python that runs this."""

    def fetch(self, mechanism):
        client = self.connect()
        if mechanism == "APOP":
            client.apop("alice", PASSWORD)
        else:
            client.user("alice")
            client.pass_(PASSWORD)
        lines = client.retr(1)[1]
        client.quit()
        return [b"".join(line + b"\n" for line in lines)]

    def connect(self):
        if self.tls == "POP3S":
            return poplib.POP3_SSL(net.host(), self.port, timeout=20,
                                   context=self.context())
        client = poplib.POP3(net.host(), self.port, timeout=20)
        if self.tls:
            client.stls(self.context())
        return client

    def context(self):
        return ssl.create_default_context(cafile=self.ca)


class Camel(Program):
    """libcamel, the library of Evolution, by tests/lib/camelclient.py.  Its
    POP3 is unpacked below the build folder: installed, it brings a desktop
    along.  The bindings are those of Debian's Python."""
    python = "/usr/bin/python3"

    def __init__(self, *words, **more):
        done = subprocess.run(
            [self.python, "-c", "import gi\n"
             "gi.require_version('Camel', '1.2')\n"
             "from gi.repository import Camel"], check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode or not self.providers():
            raise tap.Skip("libcamel is not installed")
        super().__init__(*words, **more)

    @staticmethod
    def providers():
        found = glob.glob(os.path.join(
            net.BUILD, "unpacked/usr/lib/**/camel-providers"), recursive=True)
        return found and found[0]

    def fetch(self, mechanism):
        self.run([self.python, os.path.abspath("tests/lib/camelclient.py"),
                  net.host(), str(self.port), self.tls or "none", mechanism,
                  PASSWORD, self.ca or "/dev/null", "got"], mechanism,
                 EDS_CAMEL_PROVIDER_DIR=self.providers())
        added = rb"(?m)^(X-Evolution-.*|MIME-Version): .*\n"
        return [re.sub(added, b"", m.replace(b"\r\n", b"\n"))
                for m in self.delivered("got")]
