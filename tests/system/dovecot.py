#!/usr/bin/env python3
# dovecot.py - KPOP inside the Dovecot of the distribution: kpop-login and
# libmech_kpop.so with a real KDC, fetchmail, and raw clients.
# TIME-LIMIT: 600
#
# SPDX-License-Identifier: MIT
import os
import tempfile

from harness import net, tap

net.enter()

from harness import dovecot as suite  # noqa: E402 (inside the network)
from harness.clients import Fetchmail  # noqa: E402
from harness.realm import ApReq, Realm  # noqa: E402
from harness.wire import Kpop, Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-dovecot-")
realm = None
dovecot = None
counter = 0


@tap.helper
def before():
    global realm, dovecot
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    try:
        suite.cover(os.path.join(scratch.name, "cover"))
    except tap.Skip as reason:
        print(f"# {reason}", flush=True)
        return
    realm = Realm(os.path.join(scratch.name, "realm"), "--other")
    dovecot = suite.Dovecot(os.path.join(scratch.name, "dovecot"), realm)


@tap.helper
def after():
    if dovecot:
        dovecot.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


@tap.helper
def server():
    if dovecot is None:
        raise tap.Skip("there is no Dovecot to run: see above")
    return dovecot


def fetchmail(**more):
    global counter
    counter += 1
    return Fetchmail(os.path.join(scratch.name, f"client{counter}"), 1109,
                     **more)


def ap_req(user="alice", service=None, **options):
    return ApReq(realm, service, ccache=realm.ccache(user), **options)


DOTS = "From: bob@example.org\nSubject: dots\n\n.one\n..two\n.\nthe end\n"


def fetchmail_fetches_by_ticket():
    box = server().box("alice").fill(1)
    box.deliver(DOTS)
    client = fetchmail()
    tap.equal(client.run(realm, realm.ccache("alice")), 0,
              client.output + dovecot.log())
    got = client.got()
    tap.equal(len(got), 2, "messages")
    tap.true(any(b"\n\n.one\n..two\n.\nthe end\n" in m for m in got),
             f"the dots are whole: {got}")
    tap.equal(box.names(), [], "messages left")


if __name__ == "__main__":
    tap.main(globals(), before, after)
