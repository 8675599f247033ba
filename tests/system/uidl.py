#!/usr/bin/env python3
# uidl.py - kpopctl uidl: unique-ids that messages had on another server, taken
# over so that clients fetch nothing twice; and what an import must not do.
# uidl_dovecot.py compares with a real Dovecot.
# TIME-LIMIT: 180
#
# SPDX-License-Identifier: MIT
import csv
import hashlib
import io
import json
import os
import pwd
import stat
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.server import WORKER_USER, Kpopd, give, kpopctl, \
    kpopctl_as, passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-uidl-")
kpopd = None
counter = 0


@tap.helper
def before():
    global kpopd
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    directory = os.path.join(scratch.name, "kpopd")
    kpopd = Kpopd(directory, listen_kpop="", plaintext="always",
                  listen_pop3=f"{net.address()}:0", workers=2,
                  passwords="file:" + passwords(directory, "alice", "bob"))


@tap.helper
def after():
    if kpopd:
        kpopd.stop()
    scratch.cleanup()


def fresh(count=3):
    """alice's maildir with new messages and without imports."""
    for folder in ("uidl", "maildirs"):
        folder = os.path.join(kpopd.state, folder)
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            os.unlink(os.path.join(folder, name))
    box = Maildir(kpopd, "alice")
    box.destroy()
    return Maildir(kpopd, "alice").fill(count)


def write(text, name=None):
    """A file that run_as may read; its path."""
    global counter
    counter += 1
    path = name or os.path.join(scratch.name, f"input{counter}")
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    give(path, WORKER_USER)
    os.chmod(path, 0o600)
    if os.getuid() == 0:
        entry = pwd.getpwnam(WORKER_USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return path


def ctl(*words, status=0):
    code, out, err = kpopctl(kpopd.path, *words)
    tap.equal(code, status, f"status of {words}; {out}{err}")
    return out


def load(text, *words, form="map", status=0):
    return ctl("uidl", "import", "alice", "--from", form, "--input",
               write(text), *words, status=status)


def uidls(user="alice"):
    """What UIDL answers."""
    with Pop3(kpopd).login(user) as client:
        lines = client.multi("UIDL")
        client.ok("QUIT")
    return [line.split(" ", 1)[1] for line in lines]


def shown(user="alice"):
    """{file: uidl} of kpopctl uidl show."""
    return dict(csv.reader(io.StringIO(ctl("uidl", "show", user))))


@tap.helper
def imports():
    folder = os.path.join(kpopd.state, "uidl")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


# ---- what it is for ----

def map_by_file_names_is_answered_by_uidl():
    box = fresh(3)
    first, second, third = box.names()
    out = load(f"{first},old-1\r\n\ncur/{third}:2,S,\"old,\"\"3\"\n"
               "1234.gone,old-4\n"
               .replace(f"cur/{third}:2,S", f'"cur/{third}:2,S"'))
    tap.equal(out, "alice: 2 of 3 messages got their unique-id; lines "
              "of messages that are not there: 1\n")
    tap.equal(uidls(), ["old-1", second, 'old,"3'])
    tap.equal(shown(), {first: "old-1", second: second, third: 'old,"3'})


def map_by_message_ids_and_digests():
    box = fresh(0)
    texts = [b"Subject: a\nMessage-Id:\n\t <one@x> (why)\n\n.dot\nend\n",
             b"Subject: b\nMessage-ID: <two@x>\n\nno end",
             b"Subject: c\r\n\r\nMessage-ID: <three@x>\r\n"]
    for text in texts:
        box.deliver(text)
    with Pop3(kpopd).login("alice") as client:
        client.ok("RETR 2")
        sent = client.until(b"\r\n.\r\n")
    digest = hashlib.sha256
    load(f"<one@x>,u1\n"
         f"SHA256:{digest(sent).hexdigest().upper()},u2\n"
         f"sha256:{digest(texts[2]).hexdigest()},u3\n<three@x>,u4\n")
    tap.equal(uidls(), ["u1", "u2", "u3"])
    load(f"sha256:{digest(texts[0]).hexdigest()},u1\n<two@x>,u2\n",
         "--replace")
    tap.equal(uidls(), ["u1", "u2", box.names()[2]])


def hundreds_of_messages_are_told_apart():
    box = fresh(300)
    names = box.names()
    load("".join(f"{n},old-{i}\n" for i, n in enumerate(names)))
    tap.equal(list(shown().items()),
              [(n, f"old-{i}") for i, n in enumerate(names)])


def header_x_uidl():
    box = fresh(1)
    box.deliver("Subject: x\nx-uidl:   \n \t+$c!!T=9\"!aN(!!e^9\"!  \n\nx\n")
    box.deliver("Subject: x\n\nX-UIDL: in-the-body\n")
    out = ctl("uidl", "import", "alice", "--from", "x-uidl")
    tap.contains(out, "alice: 1 of 3 messages got")
    tap.equal(uidls()[1], '+$c!!T=9"!aN(!!e^9"!')
    tap.equal([uidls()[i] for i in (0, 2)],
              [box.names()[i] for i in (0, 2)], "those without")


def courier_list():
    box = fresh(5)
    names = box.names()
    box.rename(names[1], "cur", ":2,S")
    blank = "1000000009.a 'b+c"
    os.rename(box.path_of(names[4]), os.path.join(box.path, "cur", blank))
    write(f"/3 9 1700000000\n{names[0]} 50 1:1700000000:0\n"
          f"{names[1]}:2, 60 7:1700000000:1\n{names[2]} 50 3:0\n"
          f"{names[3]} 50 4\n{blank}:2,S 50 0:0:0\n",
          os.path.join(box.path, "courierpop3dsizelist"))
    ctl("uidl", "import", "alice", "--from", "courier")
    tap.equal(uidls(), ["UID1-1700000000", "UID7-1700000000", "UID3", "UID4",
                        "1000000009.a+20+27b+2Bc"])


def dovecot_lists_of_both_versions():
    box = fresh(3)
    names = box.names()
    for head, lines in (
            ("3 V1700000000 N9 G0123abcd", "2 W70 :{0}\n4 Psaved S3 :{1}:2,S\n"
             "8 Gguid P :{2}\n"),
            ("1 1700000000 9", "2 {0}\n4 {1}:2,S\n8 {2}\n")):
        write(head + "\n" + lines.format(*names),
              os.path.join(box.path, "dovecot-uidlist"))
        ctl("uidl", "import", "alice", "--from", "dovecot", "--replace",
            "--format", "%u.%v")
        tap.equal(uidls(), ["2.1700000000", "saved", names[2]]
                  if head[0] == "3" else
                  [f"{n}.1700000000" for n in (2, 4, 8)], head)


def dovecot_formats():
    box = fresh(1)
    name = box.names()[0]
    md5 = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    write(f"3 V1700000000 N9\n31 Gguid :{name}:2,S\n",
          os.path.join(box.path, "dovecot-uidlist"))
    for form, want in (
            (None, "0000001f6553f100"), ("%08Xu%08Xv", "0000001f6553f100"),
            ("%u", "31"), ("%v.%u", "1700000000.31"), ("%Xu.%Xv", "1f.6553f100"),
            ("%v-%u", "1700000000-31"), ("UID%u-%v", "UID31-1700000000"),
            ("%f", name), ("%g", "guid"), ("%Mf", md5), ("%4f", name[:4]),
            ("%03u%%", "031%"), ("%01u", "31"),
            ("%{uidvalidity}.%{uid}", "1700000000.31"),
            ("%{uid | hex(8)}%{ uidvalidity|hex(8) }", "0000001f6553f100"),
            ("%{uid | hex}", "1f"), ("%{guid}", "guid"),
            ("%{filename}", name), ("%{uid | hex(2)}", "1f"),
            ("%u%{uidvalidity | hex(4)}", "31f100"), ("%{uid | hex(3}", "01f"),
            ("%XXu", "1f"), ("%MMf", md5), ("%3u", "31"), ("%2v.%u", "17.31"),
            ("%01v.%u", "1700000000.31")):
        words = ["--format", form] if form else []
        ctl("uidl", "import", "alice", "--from", "dovecot", "--replace",
            *words)
        tap.equal(list(shown().values()), [want], form)


# ---- it stays so ----

def imported_uidls_outlive_flags_restarts_and_the_index():
    box = fresh(3)
    names = box.names()
    load("".join(f"{n},old-{i}\n" for i, n in enumerate(names)))
    want = ["old-0", "old-1", "old-2"]
    tap.equal(uidls(), want)
    box.rename(names[0], "cur", ":2,")
    box.rename(names[2], "cur", ":2,FRS")
    tap.equal(uidls(), want, "flags changed")
    kpopd.stop()
    kpopd.start()
    tap.equal(uidls(), want, "restarted")
    for name in os.listdir(os.path.join(kpopd.state, "maildirs")):
        os.unlink(os.path.join(kpopd.state, "maildirs", name))
    tap.equal(uidls(), want, "without the index")
    box.remove(names[0] + ":2,")
    box.fill(1)
    tap.equal(uidls(), want[1:] + box.names()[-1:], "another came, one went")


def uidl_of_a_message_that_is_gone_is_not_used_again():
    box = fresh(2)
    first, second = box.names()
    later = "1000000099.M1P1.test"
    load(f"{first},{later}\n{second},old\n")
    box.remove(first)
    os.rename(box.deliver("Subject: later\n\n"),
              os.path.join(box.path, "new", later))
    got = uidls()
    tap.equal(got[0], "old")
    tap.true(got[1] != later and got[1][0] == "x", f"another one: {got[1]}")
    tap.equal(list(shown().values()), got, "shown")
    tap.equal(uidls(), got, "and it stays")
    out = load(f"{later},{later}\n", status=1)
    tap.contains(out, f"{later} is the unique-id of")


def two_files_of_one_name_are_told_apart():
    box = fresh(2)
    first, second = box.names()
    load(f"{first},old-1\n{second},old-2\n")
    box.copy(first, "cur", ":2,S")
    got = uidls()
    tap.equal(len(set(got)), 3, f"unique-ids of {got}")
    tap.equal(got[2], "old-2")
    tap.contains(load(f"{first},x\n", "--replace", status=1),
                 ":1: more than one message is " + first)


def second_import_adds_and_contradicts_only_when_told_to():
    box = fresh(3)
    first, second, third = box.names()
    load(f"{first},old-1\n")
    load(f"{first},old-1\n{second},old-2\n")
    tap.equal(uidls(), ["old-1", "old-2", third])
    out = load(f"{third},old-3\n{second},new-2\n", status=1)
    tap.contains(out, f":2: the message {second} got the unique-id old-2 by "
                 "an earlier import; --replace forgets those")
    tap.equal(uidls(), ["old-1", "old-2", third], "nothing of it")
    load(f"{second},new-2\n", "--replace")
    tap.equal(uidls(), [first, "new-2", third])


def shown_map_moves_to_another_user():
    box = fresh(2)
    load(f"{box.names()[0]},\"a,b\"\n")
    text = ctl("uidl", "show", "alice")
    other = Maildir(kpopd, "bob")
    for name in box.names():
        path = os.path.join(other.path, "cur", name + ":2,S")
        with open(path, "w", encoding="ascii") as file:
            file.write("Subject: moved\n\n")
        give(other.path, WORKER_USER)
    ctl("uidl", "import", "bob", "-f", "map", "-i", write(text))
    tap.equal(uidls("bob"), uidls("alice"))


# ---- what is refused ----

def faults_are_told_with_their_lines_and_import_nothing():
    box = fresh(3)
    first, second, third = box.names()
    long = "u" * 70
    for text, want in (
            (f"{first},a b\n", ':1: "a b" is no unique-id'),
            (f"{first},\n", ':1: "" is no unique-id'),
            (f"{first},{long}u\n", " is no unique-id, which has 1 to 70"),
            (f"{first},ü\n", ":1: "),
            (f"{first},a\n{second},a\n",
             f":2: a is the unique-id of {second} and of {first}"),
            (f"{second},a\n{first},a\n",
             f":2: a is the unique-id of {first} and of {second}"),
            (f"{first},{third}\n",
             f":1: {third} is the unique-id of {first} and of {third}"),
            (f"{first},a\n{first}:2,S,b\n", ":2: a line has two fields"),
            (f"{first},a\n{first},b\n",
             ":2: this message was named before, in line 1"),
            (f"{first}\n", ":1: a line has two fields"),
            (f'"{first},a\n', ":1: a line has two fields"),
            (f'"{first}"x,a\n', ":1: a line has two fields"),
            (",a\n", ":1: a line has two fields"),
            (f"{first},a", ":1: the line has no end"),
            (f"{first},a\0b\n", ":1: the line is too long, or has a NUL"),
            ("x" * 5000 + ",a\n", ":1: the line is too long, or has a NUL"),
            ("sha256:12,a\n", ":1: sha256: has 64 hexadecimal digits"),
            ("sha256:" + "x" * 64 + ",a\n", ":1: sha256: has 64 hex"),
            (f"{first},a,b\n", ":1: a line has two fields"),
            (f'{first},"a\n', ":1: a line has two fields"),
            ("<x@y,a\n", "none of its messages is in "),
            ("<>,a\n", "none of its messages is in "),
            ("gone,a\n", "none of its messages is in "),
            (f"{first},good\n{second},a b\n{third},c d\n",
             f':2: "a b" is no unique-id')):
        out = load(text, status=1)
        tap.contains(out, want, repr(text))
        tap.true(out.endswith("\nnothing was imported\n"), out)
        tap.equal(imports(), [], f"imports behind {text!r}")
    tap.contains(out, ':3: "c d" is no unique-id', "all faults are told")
    tap.equal(uidls(), [first, second, third])
    load(f"{first},{long}\n")
    tap.equal(uidls()[0], long, "70 octets")


def names_in_faults_do_nothing_to_a_terminal():
    box = fresh(0)
    box.deliver("Subject: x\nX-UIDL: a b\n\n")
    name = box.names()[0]
    odd = name + "\x1b[31m\x7f"
    os.rename(os.path.join(box.path, "new", name),
              os.path.join(box.path, "new", odd))
    shown = name + "?[31m?"
    out = ctl("uidl", "import", "alice", "--from", "x-uidl", status=1)
    tap.contains(out, shown + ': "a b" is no unique-id')
    tap.true("\x1b" not in out and "\x7f" not in out, repr(out))
    out = load(f"{odd},a\n", status=1)
    tap.contains(out, ":1: the message's file name has controls")


def messages_that_look_the_same_are_refused():
    box = fresh(0)
    for _ in range(2):
        box.deliver("Subject: same\nMessage-ID: <same@x>\nX-UIDL: same\n\n")
    tap.contains(load("<same@x>,a\n", status=1),
                 ":1: more than one message is ")
    digest = hashlib.sha256(b"Subject: same\nMessage-ID: <same@x>\n"
                            b"X-UIDL: same\n\n").hexdigest()
    tap.contains(load(f"sha256:{digest},a\n", status=1),
                 ":1: more than one message is ")
    out = ctl("uidl", "import", "alice", "--from", "x-uidl", status=1)
    for name in box.names():
        tap.contains(out, name)
    tap.contains(out, "same is the unique-id of ")


def damaged_lists_are_refused():
    box = fresh(1)
    name = box.names()[0]
    dovecot = ("a line of a dovecot-uidlist has a uid", ":2: ")
    for form, text, wants in (
            ("dovecot", "", ("it is empty",)),
            ("dovecot", "x\n", (":1: this is no dovecot-uidlist",)),
            ("dovecot", "2 V1 N2\n", (":1: this is no dovecot-uidlist",)),
            ("dovecot", "3V1 N2\n", (":1: this is no dovecot-uidlist",)),
            ("dovecot", "3 V1x N2\n", (":1: this is no dovecot-uidlist",)),
            ("dovecot", "1 x 2\n", (":1: this is no dovecot-uidlist",)),
            ("dovecot", f"3 V1 N2\n1:{name}\n", dovecot),
            ("dovecot", f"3 V1 N2\n1 :\n", dovecot),
            ("dovecot", f"3 V1 N2\n1 W9\n", dovecot),
            ("dovecot", f"1 1 2\n1 \n", dovecot),
            ("dovecot", "3 N2 G1\n", (":1: this is no dovecot-uidlist",)),
            ("dovecot", "3 V0 N2\n", (":1: this is no dovecot-uidlist",)),
            ("dovecot", "3 V4294967296\n", (":1: this is no dovecot-uidl",)),
            ("dovecot", f"3 V1 N2\nx :{name}\n", dovecot),
            ("dovecot", f"3 V1 N2\n0 :{name}\n", dovecot),
            ("dovecot", f"3 V1 N2\n4294967296 :{name}\n", dovecot),
            ("dovecot", "3 V1 N2\n1 P1 :\n", dovecot),
            ("dovecot", "3 V1 N2\n1 :../new/x\n", dovecot),
            ("dovecot", f"3 V1 N2\n2 :x\n2 :{name}\n",
             (dovecot[0], ":3: ")),
            ("dovecot", f"3 V1 N2\n1 :{name}", (":2: the line has no end",)),
            ("dovecot", f"3 V1 N2\n1 Pa:b\x7f :{name}\n",
             (":2: ", " is no unique-id")),
            ("courier", "", ("it is empty",)),
            ("courier", "1 2 3\n", (":1: this is no courierpop3dsizelist",)),
            ("courier", "/4 2 3\n", (":1: this is no courierpop3dsizelist",)),
            ("courier", "/0 2 3\n", (":1: this is no courierpop3dsizelist",)),
            ("courier", "/22 3\n", (":1: this is no courierpop3dsizelist",)),
            ("courier", f"/2 2 3\n{name}\n", (":2: a line of a cour",)),
            ("courier", f"/2 2 3\n{name} 5 /\n", (":2: a line of a cour",)),
            ("courier", f"/2 2 3\n{name} 5 5x\n", (":2: a line of a cour",)),
            ("courier", f"/2 2 3\n 5 5:6\n", (":2: a line of a cour",)),
            ("courier", f"/2 2 3\n{name}  5:6\n", (":2: a line of a cour",)),
            ("courier", "/2 2 3", (":1: the line has no end",)),
            ("courier", f"/2 2 3\n{name} 5\n", (":2: a line of a cour",)),
            ("courier", f"/2 2 3\n{name} x 5:6\n", (":2: a line of a cour",)),
            ("courier", f"/2 2 3\n{name} 5 x\n", (":2: a line of a cour",))):
        out = load(text, form=form, status=1)
        for want in wants:
            tap.contains(out, want, repr(text))
        tap.equal(imports(), [], f"imports behind {text!r}")


def fault_of_all_lines_is_told_a_hundred_times():
    box = fresh(1)
    text = f"{box.names()[0]},a b\n" * 150
    out = load(text, status=1)
    tap.equal(len(out.splitlines()), 102, out)
    tap.true(out.endswith("and 50 more\nnothing was imported\n"), out)
    told = json.loads(load(text, "-j", status=1))
    tap.equal(len(told["errors"]), 100)
    tap.equal(imports(), [])


def names_that_a_terminal_would_obey_are_refused():
    """What the owner of the mail calls his files is his."""
    box = fresh(1)
    evil = "1000000001.\x1b[2J\x7f"
    os.rename(box.path_of(box.names()[0]),
              os.path.join(box.path, "new", evil))
    tap.contains(load(f"{evil},a\n", status=1),
                 ":1: the message's file name has controls")
    out = ctl("uidl", "show", "alice")
    tap.equal(out.partition(",")[0], "1000000001.?[2J?")
    tap.equal(json.loads(ctl("uidl", "show", "alice", "-j"))["messages"][0]
              ["file"], evil)
    tap.equal(imports(), [])


def maildir_that_run_as_cannot_open_is_told():
    if os.getuid() != 0:
        raise tap.Skip("only root has other rights than run_as")
    box = fresh(2)
    os.chmod(box.path, 0)
    for words in (["show", "alice"], ["import", "alice", "-f", "x-uidl"]):
        tap.contains(ctl("uidl", *words, status=1),
                     box.path + ": the maildir can't be opened")
    os.chmod(box.path, 0o700)
    tap.equal(imports(), [])


def state_that_cannot_be_made_is_told():
    box = fresh(1)
    other = os.path.join(scratch.name, "state.conf")
    for state, why in (("/dev/null/state", "Not a directory"),
                       ("/" + "x" * 300, "File name too long"),
                       ("/x" * 2050, "")):
        with open(kpopd.path, encoding="ascii") as file:
            text = file.read().replace(f"state_dir = {kpopd.state}",
                                       f"state_dir = {state}")
        write(text, other)
        code, out, err = kpopctl(other, "uidl", "import", "alice", "-f",
                                 "map", "-i", write(box.names()[0] + ",a\n"))
        tap.equal(code, 1, out + err)
        tap.contains(out, why)


def headers_of_all_kinds_are_read():
    box = fresh(0)
    long = "X-Long: " + "x" * 70000 + "\n"
    for text in ("X-UIDL: folded\n\tvalue\n\n", "X-UIDL: nul\0\n\n",
                 "X-UIDLS: no\nX-UIDL: cr\r\n\r\n", "X-UIDL: end \t",
                 "X-UIDL:" + " " * 100 + "blanks\n\n", "X-UIDL", "",
                 f"{long}X-UIDL: far\n\n", "\r\nX-UIDL: body\n"):
        box.deliver(text)
    out = ctl("uidl", "import", "alice", "--from", "x-uidl", status=1)
    tap.contains(out, '"folded\\x09value" is no unique-id')
    box.remove(box.names()[0])
    ctl("uidl", "import", "alice", "--from", "x-uidl")
    names = box.names()
    tap.equal(uidls(), ["nul?", "cr", "end", "blanks"] + names[4:])


def digests_of_all_ends_of_lines():
    """As it is stored, and as RETR sends it."""
    box = fresh(0)
    texts = [b"", b"\n", b"c\nb", b"a\r\nb\r\n", b"a\r", b"\r\n\n",
             b"x" * 16384 + b"\n", b"x" * 16383 + b"\r\ny\n"]
    for text in texts:
        box.deliver(text)
    sent = []
    with Pop3(kpopd).login("alice") as client:
        for i in range(len(texts)):
            client.ok(f"RETR {i + 1}")
            sent.append(client.until(b"\r\n.\r\n", b".\r\n"))
    load("".join(f"sha256:{hashlib.sha256(text).hexdigest()},sent-{i}\n"
                 for i, text in enumerate(sent)))
    tap.equal(uidls(), [f"sent-{i}" for i in range(len(texts))])
    load("".join(f"sha256:{hashlib.sha256(text).hexdigest()},stored-{i}\n"
                 for i, text in enumerate(texts)), "--replace")
    tap.equal(uidls(), [f"stored-{i}" for i in range(len(texts))])


def dry_run_changes_nothing():
    box = fresh(2)
    folder = os.path.join(kpopd.state, "uidl")
    if os.path.isdir(folder):
        os.rmdir(folder)
    out = load(f"{box.names()[0]},a\n", "--dry-run")
    tap.contains(out, "alice: 1 of 2 messages would get their unique-id")
    tap.contains(load("x y\n", "-n", status=1), ":1: ")
    tap.true(not os.path.exists(folder), "no folder was made")
    tap.equal(uidls(), box.names())


def session_keeps_imports_away():
    box = fresh(1)
    with Pop3(kpopd).login("alice") as client:
        out = load(f"{box.names()[0]},a\n", status=6)
        tap.contains(out, "a session has the maildrop")
        ctl("uidl", "show", "alice", status=6)
        client.ok("QUIT")
    tap.equal(imports(), [])
    tap.await_(lambda: kpopctl(kpopd.path, "uidl", "show", "alice")[0] == 0,
               "the session let go of the maildrop")
    load(f"{box.names()[0]},a\n")
    tap.equal(uidls(), ["a"])


def wrong_words_are_usage():
    fresh(1)
    for words, want in (
            (["uidl"], None), (["uidl", "show"], None),
            (["uidl", "import"], None), (["uidl", "show", "a", "b"], None),
            (["uidl", "list", "alice"], "behind uidl stands show or import"),
            (["uidl", "import", "alice"], "uidl import needs --from"),
            (["uidl", "import", "alice", "-f", "cyrus"], "needs --from"),
            *((["uidl", "show", "alice", *more], "uidl show takes none")
              for more in (["-n"], ["-r"], ["-f", "map"], ["-i", "x"],
                           ["-F", "%u"])),
            (["uidl", "import", "alice", "-f", "x-uidl", "-i", "x"],
             "it takes no --input"),
            (["uidl", "import", "alice", "-f", "map", "-F", "%u"],
             "--format is for --from dovecot"),
            (["uidl", "show", "../alice"], "has no place in the store"),
            *((["uidl", "import", "alice", "-f", "dovecot", "-F", form], why)
              for form, why in (
                  ("%q", "other variables than"), ("%", "other variables"),
                  ("%{uid", "other variables"), ("%m", "md5 is of mboxes"),
                  ("%{uid | sha1}", "other variables"),
                  ("%{md5}", "md5 is of mboxes"), ("%Xf", "hexadecimal"),
                  ("%71u", "a width is above 70"),
                  ("%v", "the same for all messages"),
                  ("same", "the same for all messages")))):
        out = ctl(*words, status=2)
        tap.contains(out, want or "", str(words))


def json_is_one_line_of_json():
    box = fresh(2)
    first, second = box.names()
    told = json.loads(load(f"{first},a\n{second},a\nx,y z\n", "-j", status=1))
    tap.equal(sorted(told), ["error", "errors"])
    tap.equal(told["errors"], [told["error"]])
    tap.equal(json.loads(load(f"{first},a\ngone,b\n", "-j")),
              {"error": None, "user": "alice", "messages": 2, "imported": 1,
               "gone": 1, "dry_run": False})
    tap.equal(json.loads(ctl("uidl", "show", "alice", "--json")),
              {"user": "alice", "messages": [
                  {"file": first, "uidl": "a", "imported": True},
                  {"file": second, "uidl": second, "imported": False}]})


# ---- rights and files ----

def import_is_made_with_the_rights_of_run_as():
    if os.getuid() != 0:
        raise tap.Skip("only root has other rights than run_as")
    box = fresh(1)
    name = box.names()[0]
    secret = write(f"{name},secret\n")
    os.chown(secret, 0, 0)
    tap.contains(ctl("uidl", "import", "alice", "-f", "map", "-i", secret,
                     status=1), "Permission denied")
    link = os.path.join(box.path, "dovecot-uidlist")
    os.symlink(write(f"3 V1 N2\n1 :{name}\n"), link)
    tap.contains(ctl("uidl", "import", "alice", "-f", "dovecot", status=1),
                 "Too many levels of symbolic links")
    os.unlink(link)
    os.mkfifo(link)
    tap.contains(ctl("uidl", "import", "alice", "-f", "dovecot", status=1),
                 "it is no regular file", )
    os.unlink(link)
    tap.equal(imports(), [])
    # The caller's shell opens what only he may read.
    with open(secret, encoding="ascii") as file:
        subprocess.run([os.path.join(net.BUILD, "kpopctl"), "-c", kpopd.path,
                        "uidl", "import", "alice", "-f", "map"], stdin=file,
                       stdout=subprocess.PIPE, check=True)
    tap.equal(uidls(), ["secret"])
    path = os.path.join(kpopd.state, "uidl", "alice")
    for part, mode in ((path, 0o600), (os.path.dirname(path), 0o700)):
        st = os.stat(part)
        tap.equal((stat.S_IMODE(st.st_mode), pwd.getpwuid(st.st_uid).pw_name),
                  (mode, WORKER_USER), part)
    tap.equal(sorted(os.listdir(box.path)), ["cur", "new", "tmp"],
              "nothing is written into the maildir")


def symlinks_in_the_state_are_not_followed():
    box = fresh(1)
    load(f"{box.names()[0]},a\n")
    victim = write("victim\n")
    for name, words in ((".alice", []), ("alice", ["--replace"])):
        link = os.path.join(kpopd.state, "uidl", name)
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(victim, link)
        code = 1 if name[0] == "." else 0
        load(f"{box.names()[0]},a\n", *words, status=code)
        with open(victim, encoding="ascii") as file:
            tap.equal(file.read(), "victim\n", name)
        if code:
            os.unlink(link)
    tap.equal(uidls(), ["a"])


def others_than_root_are_told():
    if os.getuid() != 0:
        raise tap.Skip("everybody is himself")
    fresh(1)
    directory = os.path.join(scratch.name, "other")
    other = Kpopd(directory, listen_kpop="", plaintext="always", start=False,
                  listen_pop3=f"{net.address()}:0",
                  passwords="file:" + passwords(directory, "alice"))
    code, out, err = kpopctl_as("nobody", other.path, "uidl", "show", "alice")
    tap.equal(code, 4, out + err)
    tap.contains(out, "only root and the user run_as may do this")


def import_cut_off_leaves_the_old_one():
    box = fresh(1)
    load(f"{box.names()[0]},a\n")
    write("kpop-uidl 1 1 0000\nhalf", os.path.join(kpopd.state, "uidl",
                                                   ".alice"))
    tap.equal(uidls(), ["a"], "with a half-written file beside it")
    load(f"{box.names()[0]},b\n", "--replace")
    tap.equal((uidls(), imports()), (["b"], ["alice"]))


def damaged_import_has_nobody_fetch_everything_again():
    box = fresh(2)
    load("".join(f"{n},old-{i}\n" for i, n in enumerate(box.names())))
    path = os.path.join(kpopd.state, "uidl", "alice")
    with open(path, "rb") as file:
        whole = file.read()
    mark = kpopd.mark()
    for damaged in (whole[:-1], whole[:-30], b"", b"\n", b"x" * 100,
                    whole.replace(b"old-1", b"old-7"),
                    whole.replace(b"\nold", b"\nol\0", 1),
                    whole + b"x y\n", whole.replace(b" 2 ", b" 3 ", 1)):
        write(damaged, path)
        with Pop3(kpopd).login("alice") as client:
            tap.contains(client.command("UIDL"), "-ERR [SYS/TEMP]",
                         repr(damaged))
    kpopd.await_log(r"event=store\.fail .*unique-ids are damaged", mark)
    tap.contains(load(f"{box.names()[0]},a\n", status=1), "can't be read")
    write(whole, path)
    tap.equal(uidls(), ["old-0", "old-1"], "put back")


if __name__ == "__main__":
    tap.main(globals(), before, after)
