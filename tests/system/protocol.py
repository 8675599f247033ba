#!/usr/bin/env python3
# protocol.py - the examples of kpop-protocol(7), played against kpopd with a
# real KDC: what the client sends is sent, and each octet of the answers is the
# manual's.
#
# SPDX-License-Identifier: MIT
import os
import re
import tempfile

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd  # noqa: E402
from harness.wire import Kpop, frame  # noqa: E402

MANUAL = os.path.join(net.ROOT, "packaging/man/kpop-protocol.7")
TOKEN = re.compile(r'"[^"]*"|[0-9a-f]{2}|xx|\.\.')
WILD = {"xx": b".", "..": b".+?"}

scratch = tempfile.TemporaryDirectory(prefix="kpop-protocol-")
realm = None
kpopd = None


@tap.helper
def before():
    global realm, kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    kpopd = Kpopd(os.path.join(scratch.name, "kpopd"), realm,
                  hostname="mail.example.org")
    Maildir(kpopd, "alice").fill(1)


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


def literal(token):
    """The octets of a token; None when they differ each time."""
    if token in WILD:
        return None
    if token.startswith('"'):
        return token[1:-1].encode()
    return bytes.fromhex(token)


def pattern(tokens):
    return b"".join(WILD.get(token) or re.escape(literal(token))
                    for token in tokens)


def tokens_of(line):
    """A line's; behind two blanks there is a remark."""
    octets = re.split(" {2,}", line.strip())[0]
    found = TOKEN.findall(octets)
    tap.equal(" ".join(found), octets, "octets of the manual")
    return found


@tap.helper
def examples():
    """Lists of ("C" or "S", tokens); ("S", None) is where it closes."""
    with open(MANUAL, encoding="utf-8") as file:
        text = file.read()
    text = text[text.index("\n.Sh EXAMPLES\n"):text.index("\n.Sh SEE ALSO\n")]
    found = []
    for block in re.findall(r"\n\.Bd -literal\n(.*?)\n\.Ed", text, re.S):
        steps = []
        for line in block.split("\n"):
            if line == "S: closes":
                steps.append(("S", None))
            elif line.startswith(" "):
                steps[-1][1].extend(tokens_of(line))
            else:
                steps.append((line[0], tokens_of(line[2:])))
        found.append(steps)
    return found


def hear(client, wanted):
    """Reads what the manual says, and not an octet more."""
    heard = b""
    while not re.fullmatch(wanted, heard, re.S):
        try:
            heard += client.read(1)
        except tap.Failure:
            raise tap.Failure(f"{heard!r} is not {wanted!r}") from None


def say(client, tokens, request):
    """As it stands there, or the request that looks so."""
    parts = [literal(token) for token in tokens]
    octets = frame(request.octets) if None in parts else b"".join(parts)
    tap.true(re.fullmatch(pattern(tokens), octets, re.S),
             f"{octets!r} is not {pattern(tokens)!r}")
    client.send(octets)


def play(steps, request=None):
    with Kpop(kpopd) as client:
        for side, tokens in steps:
            if tokens is None:
                tap.equal(client.rest(), b"", "octets before it closes")
            elif side == "S":
                hear(client, pattern(tokens))
            else:
                say(client, tokens, request)


def request_of(**options):
    return ApReq(realm, ccache=realm.ccache("alice"), **options)


def login_is_as_the_manual_shows_it():
    with request_of(mutual=True) as request:
        play(examples()[0], request)


def refusal_is_as_the_manual_shows_it():
    with request_of(skew=600) as request:
        play(examples()[1], request)


def other_versions_are_answered_as_the_manual_shows_it():
    shown = examples()[2:]
    tap.equal(len(shown), 2, "examples")
    for steps in shown:
        play(steps)


if __name__ == "__main__":
    tap.main(globals(), before, after)
