# sasl.py - every way to log in, as a client of ours that can stop, repeat and
# bend any step of it.
#
# A way is a generator: it gives the next line to send and is told the answer.
# run() goes through it, or stops before a step.  A login has worked when the
# last answer begins with +OK.
#
# SPDX-License-Identifier: MIT
import base64
import hashlib
import hmac
import os
import re
import subprocess

from harness import net, tap, wire


def encode(octets):
    return base64.b64encode(octets).decode()


def decode(answer):
    """The octets of a challenge."""
    tap.true(answer.startswith("+ "), f"a challenge: {answer}")
    return base64.b64decode(answer[2:], validate=True)


def goes_on(answer):
    return answer.startswith("+ ")


# ---- the ways ----

def user_pass(_client, user, password):
    answer = yield f"USER {user}"
    if answer.startswith("+OK"):
        yield f"PASS {password}"


def apop(client, user, password):
    stamp = re.search(r"<[^>]*>", client.greeting).group()
    digest = hashlib.md5((stamp + password).encode()).hexdigest()
    yield f"APOP {user} {digest}"


def plain(_client, user, password, authzid=""):
    answer = yield "AUTH PLAIN"
    if goes_on(answer):
        yield encode(f"{authzid}\0{user}\0{password}".encode())


def plain_at_once(_client, user, password, authzid=""):
    message = encode(f"{authzid}\0{user}\0{password}".encode())
    yield f"AUTH PLAIN {message}"


def cram(_client, user, password):
    answer = yield "AUTH CRAM-MD5"
    if goes_on(answer):
        digest = hmac.new(password.encode(), decode(answer), "md5")
        yield encode(f"{user} {digest.hexdigest()}".encode())


def scram(_client, user, password, digest="sha256", mechanism="SCRAM-SHA-256",
          authzid="", flag="n", channel=b""):
    """RFC 5802; a server that cannot prove itself is a failure.  flag and
    channel are for -PLUS."""
    answer = yield "AUTH " + mechanism
    if not goes_on(answer):
        return
    header = f"{flag},{'a=' + authzid if authzid else ''},"
    first = f"n={user},r={os.urandom(12).hex()}"
    answer = yield encode((header + first).encode())
    if not goes_on(answer):
        return
    challenge = decode(answer).decode()
    facts = dict(fact.split("=", 1) for fact in challenge.split(","))
    salted = hashlib.pbkdf2_hmac(digest, password.encode(),
                                 base64.b64decode(facts["s"]),
                                 int(facts["i"]))
    key = hmac.digest(salted, b"Client Key", digest)
    final = f"c={encode(header.encode() + channel)},r={facts['r']}"
    signed = f"{first},{challenge},{final}".encode()
    signature = hmac.digest(hashlib.new(digest, key).digest(), signed, digest)
    proof = bytes(a ^ b for a, b in zip(key, signature))
    answer = yield encode(f"{final},p={encode(proof)}".encode())
    if goes_on(answer):
        server = hmac.digest(salted, b"Server Key", digest)
        want = hmac.digest(server, signed, digest)
        tap.equal(decode(answer), b"v=" + encode(want).encode(),
                  "the server's proof")
        yield ""


def gssapi(_client, gss, authzid=b"", choice=b"\1\0\0\0", sealed=False):
    """RFC 4752; choice are the octets of the client's layers and size."""
    answer = yield "AUTH GSSAPI"
    while goes_on(answer) and not gss.complete:
        answer = yield encode(gss.init(decode(answer)))
    if goes_on(answer):
        gss.offer = gss.unwrap(decode(answer))
        yield encode(gss.wrap(choice + authzid, sealed))


def run(client, way, stop=None):
    """(answer, lines sent); with `stop`, before that step (0 is the first)
    it gives up and returns the answer of the step before."""
    answer, sent = None, 0
    try:
        line = next(way)
        while sent != stop:
            answer = client.command(line)
            sent += 1
            line = way.send(answer)
    except StopIteration:
        pass
    way.close()
    return answer, sent


def logs_in(client, way):
    return run(client, way)[0].startswith("+OK")


class Gss:
    """tests/lib/gssclient as a coprocess: one context of a client."""

    def __init__(self, realm, ccache, service=None, spnego=False, **env):
        words = [os.path.join(net.BUILD, "tests/lib/gssclient")]
        if spnego:
            words.append("--spnego")
        words.append(service or f"pop@{net.host()}")
        self.complete = False
        self.offer = None
        self.process = subprocess.Popen(
            words, env={**os.environ, **realm.env, "KRB5CCNAME": ccache,
                        **env}, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)

    def _ask(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        word, _, rest = self.process.stdout.readline().rstrip(
            "\n").partition(" ")
        if word in ("bad", ""):
            raise tap.Failure(f"gssclient: {words[:60]}: {rest}")
        self.complete = self.complete or word == "complete"
        return bytes.fromhex(rest)

    def reset(self):
        """The next init() begins a new login with the same ticket."""
        self._ask("reset")
        self.complete = False
        return self

    def bind(self, kind, name):
        """Later contexts are bound to this channel (RFC 5056)."""
        self._ask("bind " + (kind.encode() + b":" + name).hex())
        return self.reset()

    def init(self, octets):
        return self._ask("init " + octets.hex())

    def wrap(self, octets, secret=False):
        return self._ask(f"wrap {int(secret)} {octets.hex()}")

    def unwrap(self, octets):
        return self._ask("unwrap " + octets.hex())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Layered(wire.Line):
    """What a Pop3 becomes behind the +OK of a login with a layer."""

    def __init__(self, client, gss, sealed):
        self.socket, self.raw = client.socket, client.buffer
        self.gss, self.sealed = gss, sealed
        self.buffer = b""
        self.largest = 0  # packet that came

    def packet(self, octets):
        return wire.frame(self.gss.wrap(octets, self.sealed))

    def send(self, octets, one_by_one=False):
        self.send_raw(self.packet(octets), one_by_one)

    def send_raw(self, octets, one_by_one=False):
        super().send(octets, one_by_one)

    def _fill(self):
        while True:
            size = int.from_bytes(self.raw[:4], "big")
            if len(self.raw) >= 4 + max(size, 1):
                break
            piece = self.socket.recv(65536)
            self.raw += piece
            if not piece:
                tap.equal(self.raw, b"", "part of a packet")
                return False
        self.largest = max(self.largest, size)
        self.buffer += self.gss.unwrap(self.raw[4:4 + size])
        self.raw = self.raw[4 + size:]
        return True

    def ended(self):
        """True once the server has hung up, with a last word or without."""
        try:
            return b"+OK" not in self.rest()
        except ConnectionResetError:
            return True
