# wire.py - raw KPOP and POP3 clients, octet by octet if need be.
#
# SPDX-License-Identifier: MIT
import socket
import struct

from harness import net, tap

SENDAUTH = b"KRB5_SENDAUTH_V1.0\0"
KPOP = b"KPOPV1.0\0"


def frame(octets):
    return struct.pack(">I", len(octets)) + octets


VERSIONS = frame(SENDAUTH) + frame(KPOP)


class Line:
    """A connection with a deadline on each read."""

    def __init__(self, port, address=None, source=None, seconds=10):
        self.socket = socket.create_connection(
            (address or net.address(), port), timeout=seconds * tap.SLOW,
            source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, octets, one_by_one=False):
        if not one_by_one:
            self.socket.sendall(octets)
            return
        for i in range(len(octets)):
            self.socket.sendall(octets[i:i + 1])

    def _fill(self):
        try:
            piece = self.socket.recv(65536)
        except socket.timeout:
            raise tap.Failure(f"no answer; had {self.buffer!r}") from None
        self.buffer += piece
        return piece != b""

    def read(self, count):
        while len(self.buffer) < count:
            if not self._fill():
                raise tap.Failure(f"closed early; had {self.buffer!r}")
        octets, self.buffer = self.buffer[:count], self.buffer[count:]
        return octets

    def line(self):
        while b"\n" not in self.buffer:
            if not self._fill():
                raise tap.Failure(f"closed early; had {self.buffer!r}")
        line, self.buffer = self.buffer.split(b"\n", 1)
        tap.true(line.endswith(b"\r"), f"line ends in CRLF: {line!r}")
        return line[:-1].decode("utf-8", "backslashreplace")

    def until(self, end, whole=None):
        """Octets up to `end`, of which the line end still belongs to them;
        nothing when they begin with `whole`."""
        found = -1
        start = 0
        while found < 0:
            if whole and self.buffer.startswith(whole):
                self.buffer = self.buffer[len(whole):]
                return b""
            found = self.buffer.find(end, start)
            start = max(0, len(self.buffer) - len(end))
            if found < 0 and not self._fill():
                raise tap.Failure(f"closed early; had {self.buffer[-80:]!r}")
        octets = self.buffer[:found + 2]
        self.buffer = self.buffer[found + len(end):]
        return octets

    def rest(self):
        """Everything until the server closes; a reset is a failure."""
        while self._fill():
            pass
        octets, self.buffer = self.buffer, b""
        return octets

    def framed(self):
        return self.read(struct.unpack(">I", self.read(4))[0])

    def command(self, text):
        self.send(text.encode() + b"\r\n")
        return self.line()

    def ok(self, text):
        answer = self.command(text)
        tap.true(answer.startswith("+OK"), f"{text}: {answer}")
        return answer

    def err(self, text, start="-ERR"):
        answer = self.command(text)
        tap.true(answer.startswith(start), f"{text}: {answer}")
        return answer

    def lines(self):
        """A multi-line answer behind its first line, stuffing undone."""
        found = []
        while True:
            line = self.line()
            if line == ".":
                return found
            found.append(line[1:] if line.startswith(".") else line)

    def multi(self, text):
        self.ok(text)
        return self.lines()

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Pop3(Line):
    """A connection to the pop3 listener; the greeting is read."""

    def __init__(self, kpopd, **more):
        super().__init__(kpopd.ports["pop3"], **more)
        self.greeting = self.line()

    def login(self, user, password=None):
        """A session that hung up a moment ago may still hold the lock."""
        def attempt():
            self.ok(f"USER {user}")
            answer = self.command(f"PASS {password or user + '-password'}")
            if answer.startswith("-ERR [IN-USE]"):
                return False
            tap.true(answer.startswith("+OK"), f"PASS of {user}: {answer}")
            return True
        tap.await_(attempt, f"the maildrop of {user} is free")
        return self


class Kpop(Line):
    """A connection to the kpop listener; says nothing by itself."""

    def __init__(self, kpopd, **more):
        super().__init__(kpopd.ports["kpop"], **more)

    def versions(self):
        self.send(VERSIONS)
        tap.equal(self.read(1), b"\0", "answer to the versions")
        return self

    def handshake(self, ap_req, mutual=False):
        """Through the Kerberos handshake: returns the AP-REP, or None."""
        self.versions()
        self.send(frame(ap_req))
        status = self.read(4)
        if status != b"\0\0\0\0":
            error = self.read(struct.unpack(">I", status)[0])
            raise tap.Failure(f"refused with {error!r}")
        ap_rep = self.framed() if mutual else None
        self.greeting = self.line()
        tap.true(self.greeting.startswith("+OK"), self.greeting)
        return ap_rep

    def refused(self, ap_req):
        """The KRB_ERROR; the connection was then closed in good order."""
        self.versions()
        self.send(frame(ap_req))
        error = self.framed()
        tap.equal(self.rest(), b"", "octets behind the KRB_ERROR")
        return error

    def login(self, user):
        self.ok(f"USER {user}")
        return self.command("PASS krb_ticket")
