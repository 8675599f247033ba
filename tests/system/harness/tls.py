# tls.py - an authority of our own, certificates from it, and raw clients that
# speak TLS.
#
# SPDX-License-Identifier: MIT
import os
import re
import ssl
import subprocess
import warnings

from harness import tap
from harness.wire import Line

# Old versions of TLS are asked for on purpose.
warnings.simplefilter("ignore", DeprecationWarning)

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*words, **more):
    done = subprocess.run(["openssl", *words], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **more)
    text = done.stdout.decode("utf-8", "backslashreplace")
    tap.equal(done.returncode, 0, f"openssl {' '.join(words)}\n{text}\n")
    return text


def _typed(name):
    """As subjectAltName wants it: a type in front."""
    if ":" in name:
        return name
    return ("IP:" if re.fullmatch(r"[0-9.]+", name) else "DNS:") + name


class Authority:
    """It, its certificate in .path, and what it signs."""

    def __init__(self, directory, name="authority"):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o711)
        self.path = os.path.join(directory, "ca.pem")
        self.key = os.path.join(directory, "ca.key")
        openssl("req", "-x509", *CURVE, "-keyout", self.key, "-out",
                self.path, "-days", "30", "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def file(self, name):
        return os.path.join(self.directory, name)

    def sign(self, file, *names, days="30", kind=CURVE, subject=None):
        """(certificate, key) with these subjectAltNames."""
        certificate = os.path.join(self.directory, file + ".pem")
        key = os.path.join(self.directory, file + ".key")
        request = os.path.join(self.directory, file + ".csr")
        openssl("req", *kind, "-new", "-keyout", key, "-out", request,
                "-subj", subject or f"/CN={file}")
        names = [_typed(n) for n in names]
        extensions = os.path.join(self.directory, file + ".ext")
        with open(extensions, "w", encoding="ascii") as out:
            out.write("basicConstraints=CA:FALSE\n"
                      "subjectKeyIdentifier=hash\n"
                      "authorityKeyIdentifier=keyid\n")
            if names:
                out.write("subjectAltName=" + ",".join(names) + "\n")
        openssl("x509", "-req", "-in", request, "-CA", self.path, "-CAkey",
                self.key, "-CAcreateserial", "-days", days, "-extfile",
                extensions, "-out", certificate)
        os.chmod(key, 0o600)
        return certificate, key


    def ocsp(self, file, out, state="V", **env):
        """An OCSP response for a certificate of ours; state R: revoked."""
        certificate = os.path.join(self.directory, file + ".pem")
        index = out + ".index"
        serial = openssl("x509", "-in", certificate, "-noout", "-serial")
        with open(index, "w", encoding="ascii") as lines:
            lines.write("\t".join([
                state, "300101000000Z", "250101000000Z" if state == "R"
                else "", serial.strip().partition("=")[2], "unknown",
                f"/CN={file}"]) + "\n")
        openssl("ocsp", "-index", index, "-CA", self.path, "-rsigner",
                self.path, "-rkey", self.key, "-issuer", self.path, "-cert",
                certificate, "-ndays", "1", "-respout", out,
                env=dict(os.environ, **env))
        return out


def context(ca, **more):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(ca)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def secure(line, made, name=None, session=None):
    """TLS on a connection, from here on."""
    line.socket = made.wrap_socket(line.socket, server_hostname=name,
                                   session=session)
    return line


class Pop3s(Line):
    """A connection to the pop3s listener; the greeting is read."""

    def __init__(self, kpopd, made, name=None, session=None, **more):
        super().__init__(kpopd.ports["pop3s"], **more)
        secure(self, made, name, session)
        self.greeting = self.line()


class Memory:
    """TLS whose octets the test carries: client() and server() give what
    either side has to say next."""

    def __init__(self, made, name=None):
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = made.wrap_bio(self.incoming, self.outgoing,
                                 server_hostname=name)

    def flight(self):
        """What the client says next in the handshake."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    hello = flight

    def shake(self, line, piece=None):
        """A whole handshake over a Line; octets in pieces of that size."""
        while True:
            try:
                self.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            octets = self.outgoing.read()
            step = piece or max(1, len(octets))
            for i in range(0, len(octets), step):
                line.socket.sendall(octets[i:i + step])
            if done:
                return self
            got = line.socket.recv(65536)
            tap.true(got != b"", "the handshake goes on")
            self.incoming.write(got)

    def record(self, octets):
        """Records with these octets."""
        self.tls.write(octets)
        return self.outgoing.read()

    def answer(self, line):
        """One line of the server."""
        text = b""
        while not text.endswith(b"\n"):
            try:
                text += self.tls.read(1)
            except ssl.SSLWantReadError:
                got = line.socket.recv(65536)
                tap.true(got != b"", f"an answer; had {text!r}")
                self.incoming.write(got)
        return text.decode().rstrip()


