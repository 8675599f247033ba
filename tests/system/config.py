#!/usr/bin/env python3
# config.py - what is wrong with a configuration is told as FILE:LINE: and a
# sentence, by kpopd and by kpopctl check alike; then nothing is started.
# TIME-LIMIT: 90
#
# SPDX-License-Identifier: MIT
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness.realm import Realm  # noqa: E402 (inside the network)
from harness.server import AUTH_USER, WORKER_USER  # noqa: E402
from harness.server import Kpopd, check, own, passwords  # noqa: E402
from harness.wire import Pop3  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-config-")
realm = None
counter = 0


@tap.helper
def before():
    global realm
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))


@tap.helper
def after():
    if realm:
        realm.stop()
    scratch.cleanup()


@tap.helper
def free_port():
    with socket.socket() as probe:
        probe.bind((net.address(), 0))
        return probe.getsockname()[1]


def good(**keys):
    """A configuration that is right but for `keys`; not started."""
    global counter
    counter += 1
    keys.setdefault("listen_kpop", f"{net.address()}:{free_port()}")
    return Kpopd(os.path.join(scratch.name, f"kpopd{counter}"), realm,
                 start=False, **keys)


def run(server, *words):
    """kpopd until it ends: (status, stdout, stderr).  A kpopd that serves is
    ended after a while and is a failure."""
    process = subprocess.Popen(
        [os.path.join(net.BUILD, "kpopd"), *words], env=server.env, text=True,
        errors="backslashreplace", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True)
    try:
        out, err = process.communicate(timeout=20 * tap.SLOW)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
        raise tap.Failure(f"kpopd started:\n{out}{err}") from None
    try:
        os.killpg(process.pid, 0)
        raise tap.Failure("a process is left behind")
    except ProcessLookupError:
        pass
    return process.returncode, out, err


def is_served(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
        return True
    except ConnectionRefusedError:
        return False


def sentences(text):
    """The lines that are no log lines (warnings may stand before)."""
    return [line for line in text.splitlines()
            if not line.startswith("event=")]


def refused(server, line, *parts, only_kpopd=False):
    """Both say FILE:LINE: with these words in it, and nothing starts."""
    status, out, err = run(server, "-c", server.path)
    tap.equal(status, 1, f"kpopd's exit status; {err}")
    tap.equal(out, "", "kpopd's stdout")
    said = sentences(err)
    tap.equal(len(said), 1, f"sentences of {err!r}")
    start = server.path + ":" + (f"{line}: " if line else " ")
    tap.true(said[0].startswith(start), f"{said[0]!r} begins with {start!r}")
    for part in parts:
        tap.contains(said[0], part)
    tap.true(said[0].isprintable(), f"no control characters in {said[0]!r}")
    if only_kpopd:
        return
    status, output = check(server.path, server.env)
    tap.equal(status, 1, f"kpopctl's exit status; {output}")
    tap.equal(sentences(output), said, "what kpopctl check says")
    tap.true(not is_served(server.keys["listen_kpop"]), "no port is bound")


def refused_value(key, value, *parts, **keys):
    """The same for one key, written as the last line."""
    server = good(**keys)
    server.keys.pop(key, None)
    server.configure(**{key: value})
    if key == "listen_kpop":
        server.keys[key] = f"{net.address()}:{free_port()}"
    refused(server, len(server.keys), key, *parts)


def append(server, octets):
    with open(server.path, "ab") as file:
        file.write(octets)
    return len(server.keys) + 1


def good_configuration_passes():
    server = good()
    status, output = check(server.path, server.env)
    tap.equal((status, sentences(output)), (0, []), "kpopctl check")
    server.start().stop()


def unknown_key_comes_with_a_suggestion():
    server = good()
    line = append(server, b"idle_timeot = 600\n")
    refused(server, line, "idle_timeot", "idle_timeout")


def unknown_key_far_from_all_has_no_suggestion():
    server = good()
    line = append(server, b"frobnicate = 1\n")
    refused(server, line, "frobnicate")
    tap.lacks(check(server.path, server.env)[1], "did you mean")


def bad_value_of_each_kind():
    for key, value, part in (
            ("max_sessions", "many", "number"),            # number
            ("max_sessions", "-1", "number"),
            ("max_sessions", "0x10", "number"),
            ("max_sessions", "1.5", "number"),
            ("idle_timeout", "10m", "seconds"),            # seconds
            ("weak_enctypes", "maybe", "yes or no"),       # yes or no
            ("weak_enctypes", "YES", "yes or no"),
            ("plaintext", "sometimes", "tls always never"),  # choice
            ("log", "file", "stderr syslog journal"),
            ("mechanisms", "USER NTLM", "NTLM"),           # list of choices
            ("keytab", "kpop.keytab", "absolute"),         # path
            ("replay_cache", "replay", "absolute"),
            ("listen_kpop", "1109", "ADDRESS:PORT"),       # listen
            ("listen_kpop", "*:99999", "ADDRESS:PORT"),
            ("listen_kpop", "127.0.0.1:", "ADDRESS:PORT"),
            ("listen_kpop", "[::1:1109", "ADDRESS:PORT"),
            ("listen_kpop", "localhost:1109", "ADDRESS:PORT"),
            ("hostname", "two words", "host name"),        # text
            ("trusted_networks", "10.0.0.0/33", "10.0.0.0/33"),
            ("trusted_networks", "10.0.0.0/8 home", "home"),
            ("passwords", "file:passwords", "file:PATH"),
            ("passwords", "shadow", "file:PATH"),
            ("keytab", "", "value")):
        refused_value(key, value, part)


def address_that_is_listed_twice():
    place = f"{net.address()}:{free_port()}"
    port = place.rpartition(":")[2]
    refused_value("listen_pop3", place, f"port {port}", "listen_kpop",
                  listen_kpop=place, plaintext="always")
    refused_value("listen_pop3", f"{place} {place}", f"port {port}",
                  "one of listen_pop3", plaintext="always")


def value_out_of_range():
    for key, value in (("max_sessions", "0"), ("max_sessions", "1000001"),
                       ("workers", "257"), ("workers", "0"),
                       ("login_timeout", "3601"), ("idle_timeout", "0"),
                       ("auth_timeout", "301"),
                       ("max_sessions", "18446744073709551617"),
                       ("max_sessions", "9" * 40)):
        refused_value(key, value, "from 1 to")


def duplicate_key_names_both_lines():
    server = good()
    first = list(server.keys).index("store") + 1
    line = append(server, f"store = {server.keys['store']}\n".encode())
    refused(server, line, "store", f"line {first}")


def line_without_equals_sign():
    server = good()
    line = append(server, b"# a comment\n\nstore maildir:/x/%u\n") + 2
    refused(server, line, "key = value")


def nul_in_the_file():
    server = good()
    line = append(server, b"expire\0 = never\n")
    refused(server, line, "NUL")


def overlong_line():
    server = good()
    line = append(server, b"#" + b"x" * 100000 + b"\n")
    refused(server, line, "too long")


def control_characters_in_a_value():
    server = good()
    line = append(server, b"principal_map = /etc/\x1b[31mmap\n")
    refused(server, line, "control characters")


def missing_configuration_file():
    server = good()
    os.unlink(server.path)
    refused(server, 0, "No such file")


def configuration_that_is_a_directory():
    server = good()
    os.unlink(server.path)
    os.mkdir(server.path)
    status, _, err = run(server, "-c", server.path)
    tap.equal(status, 1, err)
    tap.true(err.startswith(server.path + ":"), err)


def missing_keytab():
    path = os.path.join(scratch.name, "no-such.keytab")
    refused_value("keytab", path, path)


def unreadable_keytab():
    path = os.path.join(scratch.name, "unreadable.keytab")
    realm.run("keytab", path, f"pop/{net.host()}")
    os.chmod(path, 0o600 if os.getuid() == 0 else 0)
    refused_value("keytab", path, path, "ermission")


def keytab_without_a_pop_key():
    path = realm.env["REALM_DIR"] + "/host.keytab"
    if os.getuid() == 0:
        own(path, AUTH_USER)
    refused_value("keytab", path, path, "`services'")


def keytab_without_any_key():
    path = realm.env["REALM_DIR"] + "/empty.keytab"
    if os.getuid() == 0:
        own(path, AUTH_USER)
    refused_value("keytab", path, path)


def keytab_that_is_none():
    path = os.path.join(scratch.name, "text.keytab")
    with open(path, "w", encoding="ascii") as file:
        file.write("this is not a keytab\n")
    os.chmod(path, 0o644)
    refused_value("keytab", path, path)


def pop3_only(**keys):
    """Without a KPOP listener, where tickets may be missing."""
    return good(listen_kpop="", listen_pop3=f"{net.address()}:0", **keys)


def keytab_that_is_missing_only_takes_gssapi_away():
    server = pop3_only()
    server.keys["keytab"] = os.path.join(scratch.name, "no-such.keytab")
    server.configure()
    status, output = check(server.path, server.env)
    tap.equal(status, 0, output)
    tap.contains(output, "event=config.keytab")
    tap.contains(output, "GSSAPI is not offered")


def gssapi_without_its_module_is_not_offered():
    for modules, offered in ((None, True), (scratch.name, False)):
        server = pop3_only(mechanisms="GSSAPI")
        if modules:
            server.env["SASL_PATH"] = modules
        status, output = check(server.path, server.env)
        tap.equal(status, 0, output)
        tap.equal("event=config.gssapi" in output, not offered, output)
        tap.equal("libsasl2-modules-gssapi-mit" in output, not offered,
                  output)
        server.start()
        with Pop3(server) as client:
            client.ok("CAPA")
            tap.equal("SASL GSSAPI" in client.lines(), offered, modules)
        server.stop()


def map_with_a_mistake_takes_nothing_away():
    path = os.path.join(scratch.name, "mistake.map")
    with open(path, "w", encoding="ascii") as file:
        file.write("alice@EXAMPLE.ORG sales alice\n")
    server = pop3_only(principal_map=path)
    status, output = check(server.path, server.env)
    tap.equal(status, 1, output)
    tap.contains(output, "principal_map: " + path + ":1: ")


def words_with_commas():
    for key in ("proxy_users", "services", "mechanisms"):
        refused_value(key, "USER, PLAIN", "separated by blanks alone")


def pop3_without_a_way_in_is_told():
    for mechanisms, told in (("CRAM-MD5 PLAIN", True), ("GSSAPI", False)):
        server = pop3_only(mechanisms=mechanisms)
        status, output = check(server.path, server.env)
        tap.equal(status, 0, output)
        tap.equal("event=config.mechanisms level=warning" in output, told,
                  output)


def what_workers_can_read_is_told():
    if os.getuid() != 0:
        raise tap.Skip("only root's kpopd has several users")
    path = os.path.join(scratch.name, "shared.keytab")
    shutil.copy(realm.keytab, path)
    own(path, AUTH_USER)
    server = good()
    server.keys["keytab"] = path
    server.configure()
    status, output = check(server.path, server.env)
    tap.lacks(output, "config.readable")
    os.chown(path, -1, pwd.getpwnam(WORKER_USER).pw_gid)
    os.chmod(path, 0o440)
    status, output = check(server.path, server.env)
    tap.equal(status, 0, output)
    tap.contains(output, "event=config.readable level=warning")
    tap.contains(output, "key=keytab path=" + path)


def missing_store():
    path = os.path.join(scratch.name, "no-such-place")
    refused_value("store", f"maildir:{path}/%u", path)
    server = good()
    server.configure(store=None)
    refused(server, 1, "store", "maildir:")


def store_of_mbox_names_the_ways_out():
    refused_value("store", "mbox:/var/mail/%u", "convert", "dovecot-kpop")


def store_at_a_plain_file():
    path = os.path.join(scratch.name, "mbox")
    with open(path, "w", encoding="ascii") as file:
        file.write("From bob Mon Nov 23 05:00:00 2026\n\nx\n")
    os.chmod(path, 0o644)
    refused_value("store", f"maildir:{path}/%u", path, "dovecot-kpop")


def sandbox_paths_that_are_no_folders():
    """A folder above must not be opened instead."""
    server = good()
    missing = os.path.join(server.mail, "elsewhere")
    os.chmod(server.mail, 0o755)
    for value, part in ((f"{server.mail} mail", "mail: an absolute path"),
                        (f"{server.mail} {missing}", f"{missing}: No such"),
                        (server.path, f"{server.path}: it is not a folder")):
        refused_value("sandbox_paths", value, part)
    server.configure(sandbox_paths=f"{server.mail}  {server.mail}/")
    server.start().stop()


def store_whose_users_would_meet():
    for value, part in (("maildir:/var/mail", "%u"),
                        ("maildir:/var/mail/%d", "%u"),
                        ("maildir:/var/mail/%x", "%"),
                        ("maildir:mail/%u", "begin with /"),
                        ("imap:example.org", "maildir:")):
        refused_value("store", value, part)


def store_that_workers_may_not_enter():
    path = os.path.join(scratch.name, "closed")
    os.makedirs(os.path.join(path, "mail"))
    os.chmod(path, 0o700 if os.getuid() == 0 else 0)
    refused_value("store", f"maildir:{path}/mail/%u", path)
    os.chmod(path, 0o700)


def password_file_that_everybody_can_read():
    path = passwords(os.path.join(scratch.name, "open"), "alice")
    os.chmod(path, 0o644)
    refused_value("passwords", f"file:{path}", path, "0600")


def password_file_that_is_missing_or_broken():
    path = os.path.join(scratch.name, "no-such-passwords")
    refused_value("passwords", f"file:{path}", path, "No such file")
    path = passwords(os.path.join(scratch.name, "broken"), "alice", "bob")
    with open(path, "a", encoding="ascii") as file:
        file.write("carol\n")
    refused_value("passwords", f"file:{path}", f"{path}:3:", "user:hash")


def principal_map_that_is_missing():
    path = os.path.join(scratch.name, "no-such-map")
    refused_value("principal_map", path, path)


def no_listener_at_all():
    server = good(listen_kpop="")
    refused(server, list(server.keys).index("listen_kpop") + 1, "listener",
            only_kpopd=True)


def root_needs_run_as_and_auth_user():
    if os.getuid() != 0:
        raise tap.Skip("not started as root")
    for key in ("run_as", "auth_user"):
        server = good()
        server.configure(**{key: None})
        refused(server, 1, key, "root")
    refused_value("run_as", "no-such-user", "no-such-user")
    refused_value("run_as", "root", "root")
    refused_value("auth_user", "mail", "run_as")


def port_in_use():
    with socket.socket() as other:
        other.bind((net.address(), 0))
        other.listen(1)
        address = f"{net.address()}:{other.getsockname()[1]}"
        server = good(listen_kpop=address)
        refused(server, list(server.keys).index("listen_kpop") + 1,
                "listen_kpop", "in use", only_kpopd=True)
        # None of several listeners serves when one of them can't.
        free = f"{net.address()}:{free_port()}"
        server = good(listen_kpop=f"{free} {address}")
        refused(server, list(server.keys).index("listen_kpop") + 1,
                "in use", only_kpopd=True)
        tap.true(not is_served(free), "the other port is free")


# ---- the programs' options ----

def output(program, *words):
    done = subprocess.run([os.path.join(net.BUILD, program), *words],
                          text=True, check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=20 * tap.SLOW)
    return done.returncode, done.stdout, done.stderr


def help_and_version():
    for program in ("kpopd", "kpopctl"):
        for words in (["--help"], ["-h"]):
            status, out, err = output(program, *words)
            tap.equal((status, err), (0, ""), f"{program} {words}")
            tap.true(out.startswith(f"usage: {program} "), out)
        for words in (["--version"], ["-V"]):
            status, out, err = output(program, *words)
            tap.equal((status, err), (0, ""), f"{program} {words}")
            tap.true(re.fullmatch(program + r" \d+\.\d+\.\d+\n", out), out)


def wrong_arguments():
    for program, words in (
            ("kpopd", ["--no-such-option"]), ("kpopd", ["-c"]),
            ("kpopd", ["serve"]), ("kpopctl", ["--no-such-option"]),
            ("kpopctl", []), ("kpopctl", ["no-such-command"]),
            ("kpopctl", ["check", "twice"])):
        status, out, err = output(program, *words)
        # kpopctl(1): 1 is a finding of check, so a wrong call is 2.
        wanted = 2 if program == "kpopctl" else 1
        tap.equal((status, out), (wanted, ""), f"{program} {words}")
        tap.contains(err, f"usage: {program} ")


def missing_module():
    for program, words in (("kpopd", []), ("kpopctl", ["check"])):
        status, out, err = output(program, "-m", "/no-such/kpop.so", *words)
        tap.equal((status, out), (1, ""), program)
        tap.contains(err, "/no-such/kpop.so")


def sample_file_is_accepted():
    """Also with each default spelled out."""
    with open(os.path.join(net.ROOT, "plugin.conf.sample"),
              encoding="ascii") as file:
        sample = file.read()
    spelled = re.sub(r"(?m)^#(\w+ = \S.*)$", r"\1", sample)
    tap.true(len(re.findall(r"(?m)^\w+ =", spelled)) > 15, "keys spelled")
    for text in (sample, spelled):
        server = good()
        keys = {key: server.keys[key] for key in
                ("keytab", "store", "replay_cache", "state_dir", "run_as",
                 "auth_user") if key in server.keys}
        for key, value in keys.items():
            text = re.sub(rf"(?m)^#?{key} =.*$", f"{key} = {value}", text)
            tap.contains(text, f"{key} = {value}\n")
        with open(server.path, "w", encoding="ascii") as file:
            file.write(text)
        status, said = check(server.path, server.env)
        tap.equal((status, sentences(said)), (0, []), "kpopctl check")


def check_makes_only_what_it_says():
    server = good(state_dir=os.path.join(scratch.name, "state"),
                  replay_cache=os.path.join(scratch.name, "state/replay"))
    status, said = check(server.path, server.env)
    tap.equal((status, sentences(said)), (0, []), "kpopctl check")
    tap.equal(os.listdir(server.mail), [], "the store")
    tap.true(set(os.listdir(os.path.join(scratch.name, "state")))
             <= {"replay", "maildirs"}, "state_dir")
    tap.true(not is_served(server.keys["listen_kpop"]), "no port is bound")


if __name__ == "__main__":
    tap.main(globals(), before, after)
