#!/usr/bin/env python3
# uidl_dovecot.py - a maildir moves from a real Dovecot to kpopd: after an
# import of its dovecot-uidlist, UIDL is answered octet by octet as Dovecot
# answered it, for each format of its documentation.
# TIME-LIMIT: 180
#
# SPDX-License-Identifier: MIT
import os
import re
import tempfile

from harness import net, tap

net.enter()

from harness import dovecot as suite  # noqa: E402 (inside the network)
from harness.realm import Realm  # noqa: E402
from harness.server import Kpopd, kpopctl, passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

# pop3_uidl_format of 2.3 and of 2.4; what its documentation has for those who
# come from Cyrus, Courier, tpop3d, and Dovecot itself.
FORMATS = (
    ("%08Xu%08Xv", "%{uid | hex(8)}%{uidvalidity | hex(8)}"),
    ("%v.%u", "%{uidvalidity}.%{uid}"),
    ("%u", "%{uid}"),
    ("UID%u-%v", "UID%{uid}-%{uidvalidity}"),
    ("%v-%u", "%{uidvalidity}-%{uid}"),
    ("%f", "%{filename}"),
    ("%g", "%{guid}"),
    ("%Mf", None),
    ("%Xu.%04u", None),
)
LONG = "1000000050.M7P8V0000000000000801I00000000000A01C2_0.host,S=26,W=28"

scratch = tempfile.TemporaryDirectory(prefix="kpop-uidl-dovecot-")
realm = None
dovecot = None
kpopd = None


@tap.helper
def before():
    global realm, dovecot, kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    suite.cover(os.path.join(scratch.name, "cover"))
    realm = Realm(os.path.join(scratch.name, "realm"))
    dovecot = suite.Dovecot(os.path.join(scratch.name, "dovecot"), realm)
    directory = os.path.join(scratch.name, "kpopd")
    kpopd = Kpopd(directory, listen_kpop="", plaintext="always",
                  listen_pop3=f"{net.address()}:0",
                  store=f"maildir:{dovecot.mail}/%u/Maildir",
                  passwords="file:" + passwords(directory, "alice"))


@tap.helper
def after():
    for program in (kpopd, dovecot):
        if program:
            program.stop()
    if realm:
        realm.stop()
    scratch.cleanup()


def answered(server):
    """UIDL of all messages, and of each, as octets; and whose they are."""
    with Pop3(server).login("alice") as client:
        client.ok("UIDL")
        octets = client.until(b"\r\n.\r\n", b".\r\n")
        each = [client.command(f"UIDL {i + 1}")
                for i in range(octets.count(b"\r\n"))]
        owner = {}
        for line in octets.decode().splitlines():
            number, uidl = line.split(" ", 1)
            client.ok(f"TOP {number} 0")
            owner[uidl] = re.search(rb"(?m)^Subject: (.*?)\r$",
                                    client.until(b"\r\n.\r\n"))[1]
        client.ok("QUIT")
    return octets, each, owner


def configure(old, new, *more):
    """Dovecot again, with this format and settings."""
    form = new if dovecot.version >= (2, 4) else old
    if form is None:
        return None
    dovecot.stop()
    dovecot.more = "\n".join((f"pop3_uidl_format = {form}", *more))
    dovecot.configure()
    dovecot.start()
    return form


def take_over(form, *words):
    code, out, err = kpopctl(kpopd.path, "uidl", "import", "alice", "-f",
                             "dovecot", "-r", "-F", form, *words)
    tap.equal(code, 0, out + err)
    return out


@tap.helper
def fresh():
    box = dovecot.box("alice").empty().fill(4)
    path = os.path.join(box.path, "new", LONG)
    with open(path, "w", encoding="ascii") as file:
        file.write("Subject: long\n\nlong name\n")
    os.chown(path, *os.stat(box.path)[4:6])
    box.made = 60
    return box


def imported_uidlist_is_answered_as_dovecot_answers():
    box = fresh()
    seen = set()
    for old, new in FORMATS:
        form = configure(old, new)
        if form is None:
            continue
        want = answered(dovecot)
        take_over(form)
        tap.equal(answered(kpopd), want, form)
        tap.equal(len(want[1]), 5, "messages")
        tap.show(f"{form}: {want[1][0]}")
        seen.add(want[0])
    tap.true(len(seen) >= 6, f"formats differ: {seen}")
    # Flags, and messages that Dovecot never saw.
    box.deliver("Subject: later\n\n")
    for name in os.listdir(os.path.join(box.path, "cur")):
        os.rename(os.path.join(box.path, "cur", name), os.path.join(
            box.path, "cur", name.split(":")[0] + ":2,FS"))
    got = answered(kpopd)[2]
    tap.equal({u: got[u] for u in want[2]}, want[2], "flags changed")
    tap.equal(len(got), 6, "messages")


def uidls_that_dovecot_saved_win_over_the_format():
    box = fresh()
    configure(*FORMATS[1], "pop3_save_uidl = yes")
    answered(dovecot)
    box.deliver("Subject: of another time\n\n")
    configure(*FORMATS[5], "pop3_save_uidl = yes")
    answered(dovecot)
    box.deliver("Subject: last\n\n")
    form = configure(*FORMATS[0])
    want = answered(dovecot)
    with open(os.path.join(box.path, "dovecot-uidlist"),
              encoding="ascii") as file:
        text = file.read()
    tap.contains(text, " P", "what Dovecot saved")
    tap.contains(text, " P :", "what it saved as the file's name")
    take_over(form)
    tap.equal(answered(kpopd), want)


def other_order_of_messages_does_not_mix_them_up():
    """Dovecot's is that of their arrival, ours that of their names."""
    box = fresh()
    form = configure(*FORMATS[0])
    answered(dovecot)
    early = os.path.join(box.path, "new", "900000000.M1P1.early")
    with open(early, "w", encoding="ascii") as file:
        file.write("Subject: early\n\n")
    os.chown(early, *os.stat(box.path)[4:6])
    want = answered(dovecot)
    take_over(form)
    got = answered(kpopd)
    tap.equal(got[2], want[2])
    tap.true(got[0] != want[0], "the orders differ")


if __name__ == "__main__":
    tap.main(globals(), before, after)
