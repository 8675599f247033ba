#!/usr/bin/env python3
# doctor.py - kpopctl doctor against a real realm: faults are planted one by
# one, the doctor names each, the command it prints is given to a shell, and
# then it has nothing to say.  /etc is a copy in a mount namespace.
# TIME-LIMIT: 300
#
# SPDX-License-Identifier: MIT
import glob
import grp
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness.realm import Realm  # noqa: E402 (inside the network)
from harness.server import (AUTH_USER, WORKER_USER, Kpopd,  # noqa: E402
                            give, kpopctl, kpopctl_as, own, passwords,
                            secrets)
from harness.tls import Authority, openssl  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-doctor-")
realm = None
counter = 0


@tap.helper
def private_etc():
    """A copy of /etc where /etc was; the real one is out of reach."""
    copy = os.path.join(scratch.name, "etc")
    subprocess.run(["cp", "-a", "/etc", copy], check=True)
    subprocess.run(["mount", "--bind", copy, "/etc"], check=True)
    tap.true(is_ours(), "our own /etc")
    write("/etc/hosts", "127.0.0.1 localhost\n")
    write("/etc/services", "pop3 110/tcp\npop3s 995/tcp\nkpop 1109/tcp\n")


@tap.helper
def before():
    global realm
    if os.getuid() != 0 or not net.is_private():
        return
    os.chmod(scratch.name, 0o711)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    private_etc()
    realm = Realm(os.path.join(scratch.name, "realm"))


@tap.helper
def after():
    if realm:
        realm.stop()
        subprocess.run(["umount", "/etc"], check=True)
    scratch.cleanup()


@tap.helper
def is_ours():
    """/etc is the copy; nothing may change the real one."""
    copy = os.path.join(scratch.name, "etc")
    return (os.path.exists(copy)
            and os.path.samestat(os.stat("/etc"), os.stat(copy)))


@tap.helper
def need_lab():
    if realm is None or not is_ours():
        raise tap.Skip("root and namespaces are needed")


@tap.helper
def write(path, text):
    tap.true(not path.startswith("/etc/") or is_ours(), f"our own {path}")
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


@tap.helper
def sound(services=("pop/localhost", "host/localhost"), **keys):
    """A server with nothing wrong, its files all its own."""
    global counter
    need_lab()
    counter += 1
    directory = os.path.join(scratch.name, f"kpopd{counter}")
    os.makedirs(directory)
    keytab = os.path.join(directory, "keytab")
    if services:
        realm.run("keytab", keytab, *services)
    authority = Authority(os.path.join(directory, "ca"))
    certificate, key = authority.sign("pop", "localhost")
    values = {"keytab": keytab, "listen_kpop": "127.0.0.1:1109",
              "listen_pop3": "127.0.0.1:110", "tls_certificate": certificate,
              "tls_key": key,
              "passwords": "file:" + passwords(directory, "alice"),
              "secrets": "file:" + secrets(directory, "alice")}
    values.update(keys)
    kpopd = Kpopd(directory, realm, start=False, **values)
    kpopd.authority = authority
    # The harness knows the keytab of the realm alone.
    if services:
        own(keytab, AUTH_USER)
    kpopctl(kpopd.path, "check", env=kpopd.env)
    return kpopd


@tap.helper
def told(kpopd, **env):
    """(status, findings)"""
    code, out, err = kpopctl(kpopd.path, "doctor", "--json",
                             env=dict(kpopd.env, **env))
    tap.equal((err, out.count("\n")), ("", 1), f"output {out!r}; stderr")
    answer = json.loads(out)
    severities = [f["severity"] for f in answer["findings"]]
    tap.equal((answer["errors"], answer["warnings"]),
              (severities.count("error"), severities.count("warning")))
    return code, answer["findings"]


@tap.helper
def is_silent(kpopd, **env):
    tap.equal(kpopctl(kpopd.path, "doctor", env=dict(kpopd.env, **env)),
              (0, "", ""), "doctor")


@tap.helper
def heals(kpopd, check, *words, severity="error", typed="", **env):
    """One finding that says these words; its command mends it."""
    code, findings = told(kpopd, **env)
    tap.equal(code, {"error": 1, "warning": 5}[severity],
              f"status of {findings}")
    tap.equal([(f["check"], f["severity"]) for f in findings],
              [(check, severity)], f"findings {findings}")
    finding = findings[0]
    tap.true(is_ours(), "commands change our own /etc")
    for word in words:
        tap.contains(finding["text"], word)
    _, out, _ = kpopctl(kpopd.path, "doctor", env=dict(kpopd.env, **env))
    tap.equal(out, f"{severity}: {check}: {finding['text']}; mend: "
              f"{finding['mend']}\n")
    pasted = out.rstrip("\n").partition("; mend: ")[2]
    tap.show(out.rstrip("\n"))
    done = subprocess.run(["sh", "-c", pasted], text=True, check=False,
                          env=dict(kpopd.env, **env), cwd=scratch.name,
                          input=typed, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60 * tap.SLOW)
    tap.equal(done.returncode, 0, f"status of {pasted}\n{done.stdout}\n")
    is_silent(kpopd, **env)
    return finding


@tap.helper
def finds(kpopd, check, *words, severity="error", mend="", **env):
    """Among its findings one says these words; which is returned.  For faults
    whose command a test can't run, or that are not alone."""
    _, findings = told(kpopd, **env)
    for finding in findings:
        if (finding["check"], finding["severity"]) == (check, severity) \
                and all(word in finding["text"] for word in words):
            tap.contains(finding["mend"], mend)
            return finding
    raise tap.Failure(f"{check} {words} in {findings}")


@tap.helper
def lacks(kpopd, check, **env):
    _, findings = told(kpopd, **env)
    tap.lacks([f["check"] for f in findings], check, f"{findings}")


@tap.helper
def editor(kpopd, script):
    """An EDITOR that does this sed script, and notes what it was given."""
    path = os.path.join(kpopd.directory, "editor")
    write(path, f"""#!/bin/sh
echo "$*" >{path}.words
for file; do :; done
exec sed -i {shlex.quote(script)} "$file"
""")
    os.chmod(path, 0o755)
    return path


@tap.helper
def line_of(kpopd, key):
    with open(kpopd.path, encoding="ascii") as file:
        lines = [line.split(" ")[0] for line in file]
    return lines.index(key) + 1


@tap.helper
def is_edited(kpopd, key, check, *words, script=None, severity="error",
              **env):
    """An editor opens at the line of this key, which goes nowhere."""
    line = line_of(kpopd, key)
    finding = heals(kpopd, check, *words, severity=severity,
                    EDITOR=editor(kpopd, script or f"/^{key} =/d"), **env)
    tap.equal(finding["mend"], "${EDITOR:-vi} " + f"+{line} {kpopd.path}")
    with open(kpopd.directory + "/editor.words", encoding="ascii") as file:
        tap.equal(file.read(), f"+{line} {kpopd.path}\n", "editor's words")
    return finding


@tap.helper
def serves(kpopd):
    """It is healed in truth: it starts."""
    kpopd.start()
    kpopd.stop()


@tap.helper
def principal(name="pop/localhost"):
    return f"{name}@EXAMPLE.ORG"


@tap.helper
def admin(*queries):
    need_lab()
    done = subprocess.run(
        ["kadmin.local", "-r", "EXAMPLE.ORG"], text=True, check=False,
        input="\n".join(queries) + "\n", env=dict(os.environ, **realm.env),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    tap.lacks(done.stdout, " while ", f"kadmin.local {queries}")


def sound_system_has_no_finding():
    kpopd = sound(listen_pop3s="127.0.0.1:995")
    is_silent(kpopd)
    tap.equal(told(kpopd), (0, []))
    # With the ticket of who calls, too.
    is_silent(kpopd, KRB5CCNAME=realm.ccache("alice"))


def running_server_has_no_finding():
    with sound() as kpopd:
        kpopd.start()
        is_silent(kpopd)


def nothing_is_changed():
    kpopd = sound()
    os.unlink(kpopd.keys["replay_cache"])
    shutil.rmtree(kpopd.state)
    is_silent(kpopd)  # kpopd makes them
    tap.true(not os.path.exists(kpopd.state), "no state_dir was made")


# ---- Kerberos ----


def old_key_version_is_found():
    kpopd = sound()
    admin("cpw -randkey pop/localhost")
    heals(kpopd, "kdc", "under key version ", "has version ")
    serves(kpopd)


def old_key_version_is_found_by_the_caller_s_ticket():
    kpopd = sound(services=("pop/localhost",))
    cache = realm.ccache("alice")
    # A service ticket of the time before proves nothing.
    realm.run("ticket", cache, "pop/localhost")
    admin("cpw -randkey pop/localhost")
    heals(kpopd, "kdc", "under key version ", KRB5CCNAME=cache)


def old_key_version_is_found_without_any_ticket():
    kpopd = sound(services=("pop/localhost",))
    admin("cpw -randkey pop/localhost")
    heals(kpopd, "kdc", "does not accept the key of " + principal())


def other_key_of_the_same_version_is_found():
    kpopd = sound()
    admin("delprinc -force pop/localhost", "addprinc -randkey pop/localhost")
    realm.run("keytab", kpopd.keys["keytab"], "pop/localhost",
              "host/localhost")
    admin("delprinc -force pop/localhost", "addprinc -randkey pop/localhost")
    own(kpopd.keys["keytab"], AUTH_USER)
    heals(kpopd, "kdc", "has another key 1 of " + principal())


def missing_service_principal_is_found():
    kpopd = sound()
    admin("delprinc -force pop/localhost")
    heals(kpopd, "kdc", "the KDC does not know " + principal())
    serves(kpopd)


def principal_without_a_key_in_the_keytab_is_found():
    kpopd = sound(services=("host/localhost",))
    heals(kpopd, "kdc", "has no key of " + principal())


def key_of_an_unknown_principal_is_found():
    admin("addprinc -randkey pop/gone.example.org")
    kpopd = sound(services=("pop/localhost", "pop/gone.example.org"))
    admin("delprinc -force pop/gone.example.org")
    heals(kpopd, "kdc", "has keys of " + principal("pop/gone.example.org"),
          severity="warning")


def weak_enctype_is_found():
    admin("cpw -randkey -e arcfour-hmac:normal pop/localhost")
    kpopd = sound()
    try:
        heals(kpopd, "kdc", "arcfour-hmac", "too weak")
    finally:
        admin("cpw -randkey pop/localhost")


def enctype_without_a_key_is_found():
    kpopd = sound()
    admin("cpw -randkey -e aes128-cts-hmac-sha1-96:normal pop/localhost")
    realm.run("keytab", kpopd.keys["keytab"], "pop/localhost",
              "host/localhost")
    own(kpopd.keys["keytab"], AUTH_USER)
    # The same version again, with another enctype.
    admin("delprinc -force pop/localhost", "addprinc -randkey -e "
          "aes128-cts-hmac-sha1-96:normal pop/localhost")
    realm.run("keytab", kpopd.keys["keytab"], "pop/localhost",
              "host/localhost")
    own(kpopd.keys["keytab"], AUTH_USER)
    admin("delprinc -force pop/localhost", "addprinc -randkey -e "
          "aes256-cts-hmac-sha1-96:normal pop/localhost")
    try:
        code, findings = told(kpopd)
        tap.equal((code, [f["check"] for f in findings]), (1, ["kdc"]))
        tap.contains(findings[0]["text"], "of which keytab")
    finally:
        admin("cpw -randkey pop/localhost")


def disabled_principal_is_found():
    kpopd = sound()
    admin("modprinc -allow_tix pop/localhost")
    try:
        heals(kpopd, "kdc", "gives no ticket for " + principal())
    finally:
        admin("modprinc +allow_tix pop/localhost")


@tap.helper
def with_kadmind(kpopd, run):
    """run(environment) while the realm's kadmind serves root/admin, and as
    on a machine that is no KDC."""
    admin("addprinc -pw root-password root/admin")
    write(os.path.join(realm.directory, "none.acl"),
          "root/admin@EXAMPLE.ORG *\n")
    config = os.path.join(kpopd.directory, "krb5.conf")
    with open(kpopd.env["KRB5_CONFIG"], encoding="ascii") as file:
        write(config, file.read().replace(
            "EXAMPLE.ORG = {\n", "EXAMPLE.ORG = {\n"
            "        admin_server = 127.0.0.1:749\n", 1))
    os.chmod(config, 0o644)
    shutil.rmtree("/etc/krb5kdc", ignore_errors=True)  # of our own /etc
    daemon = subprocess.Popen(
        ["kadmind", "-nofork", "-r", "EXAMPLE.ORG"], env=kpopd.env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    try:
        line = ""
        while "starting" not in line:
            line = daemon.stdout.readline()
            tap.true(line, "kadmind starts")
        run({"KRB5_CONFIG": config, "KRB5_KDC_PROFILE": "", "USER": "root"})
    finally:
        daemon.terminate()
        daemon.wait()
        daemon.stdout.close()


def key_is_mended_from_a_machine_that_is_no_kdc():
    kpopd = sound()
    admin("delprinc -force pop/localhost")

    def run(env):
        finding = heals(kpopd, "kdc", "the KDC does not know " + principal(),
                        typed="root-password\n" * 3, **env)
        tap.true(finding["mend"].startswith("kadmin -r EXAMPLE.ORG -q "),
                 finding)

    with_kadmind(kpopd, run)
    serves(kpopd)


@tap.helper
def faketime():
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not found:
        raise tap.Skip("libfaketime is not installed")
    return found[0]


@tap.helper
def skewed(kpopd, shift, severity, *words):
    """The clock is a file; a `date` that sets it stands for the system's."""
    if os.environ.get("KPOP_CHECKER") in ("asan", "tsan"):
        raise tap.Skip("libfaketime and ASan each want to be loaded first")
    offset = os.path.join(kpopd.directory, "offset")
    write(offset, shift + "\n")
    programs = os.path.join(kpopd.directory, "bin")
    os.mkdir(programs)
    write(os.path.join(programs, "date"), f"""#!/bin/sh
case $1 in --set=*) ;; *) exit 2 ;; esac
seconds=$(( $(/bin/date -d "${{1#--set=}}" +%s) - \
$(env -u LD_PRELOAD /bin/date +%s) ))
env -u LD_PRELOAD sh -c "printf '%+d\\n' $seconds >{offset}"
""")
    os.chmod(os.path.join(programs, "date"), 0o755)
    heals(kpopd, "kdc", *words, severity=severity, LD_PRELOAD=faketime(),
          FAKETIME_TIMESTAMP_FILE=offset, FAKETIME_NO_CACHE="1",
          NO_FAKE_STAT="1", PATH=programs + ":" + os.environ["PATH"])


def clock_ahead_is_found():
    skewed(sound(), "+3600", "error", "ahead of the KDC's", "no ticket")


def clock_behind_is_found():
    skewed(sound(), "-4000", "error", "behind the KDC's")


def clock_that_goes_astray_is_warned_of():
    skewed(sound(), "+200", "warning", "300 are too many")


def ticket_that_cannot_be_used_is_not_asked_with():
    """Of the caller: there is none, it has ended, it is for one service."""
    kpopd = sound()
    own_ticket = realm.empty_ccache()
    done = subprocess.run(
        ["kinit", "-c", own_ticket, "-S", "pop/localhost", "alice"],
        input="alice-password\n", text=True, stdout=subprocess.DEVNULL,
        check=False, env=dict(os.environ, **realm.env))
    tap.equal(done.returncode, 0, "kinit")
    for name in ("NOTYPE:x", "FILE:/dev/null", own_ticket):
        is_silent(kpopd, KRB5CCNAME=name)
    ended = realm.empty_ccache()
    realm.run("expired", "alice", ended)
    is_silent(kpopd, KRB5CCNAME=ended)


def locked_service_is_found_without_any_ticket():
    kpopd = sound(services=("pop/localhost",))
    admin("modprinc -expire yesterday pop/localhost")
    try:
        heals(kpopd, "kdc", "the KDC on " + principal(), "expired")
    finally:
        admin("modprinc -expire never pop/localhost")


def unknown_service_beside_a_known_one_is_found():
    admin("addprinc -randkey pop/other.example.org")
    kpopd = sound(services=("pop/localhost", "pop/other.example.org",
                            "alice"))
    admin("delprinc -force pop/localhost")
    try:
        heals(kpopd, "kdc", "the KDC does not know " + principal())
        admin("cpw -randkey pop/other.example.org")
        finds(kpopd, "kdc", principal("pop/other.example.org"),
              "under key version 2", "has version 1")
    finally:
        admin("delprinc -force pop/other.example.org")


@tap.helper
def altered(kpopd, old, new):
    """KRB5_CONFIG of a file where new stands for old."""
    config = os.path.join(kpopd.directory, "krb5.conf")
    with open(kpopd.env["KRB5_CONFIG"], encoding="ascii") as file:
        text = file.read()
    tap.contains(text, old)
    write(config, text.replace(old, new, 1))
    os.chmod(config, 0o644)
    return config


def weak_keys_are_known_where_they_are_allowed():
    admin("cpw -randkey -e arcfour-hmac:normal pop/localhost")
    kpopd = sound(weak_enctypes="yes", services=("pop/localhost",))
    config = altered(kpopd, "[libdefaults]\n", "[libdefaults]\n"
                     "    permitted_enctypes = aes256-cts-hmac-sha1-96\n")
    try:
        is_silent(kpopd)
        finds(kpopd, "kdc", "the KDC", principal(), mend="ktadd",
              KRB5_CONFIG=config, KRB5CCNAME=realm.ccache("alice"))
        admin("cpw -randkey pop/localhost")
        finds(kpopd, "kdc", "does not accept the key of " + principal())
    finally:
        admin("cpw -randkey pop/localhost")


def broken_krb5_conf_is_found():
    kpopd = sound()
    finds(kpopd, "keytab", "libkrb5 can't read its configuration",
          mend="/etc/krb5.conf",
          KRB5_CONFIG=altered(kpopd, "[libdefaults]", "[libdefaults"))


def missing_krb5_conf_is_found():
    kpopd = sound()
    tap.true(is_ours(), "our own /etc")
    good = kpopd.env["KRB5_CONFIG"]
    kept = "/etc/krb5.conf.kept"
    if os.path.exists("/etc/krb5.conf"):
        os.rename("/etc/krb5.conf", kept)
    editor_path = os.path.join(kpopd.directory, "editor")
    write(editor_path, f'#!/bin/sh\nexec cp {good} "$1"\n')
    os.chmod(editor_path, 0o755)
    try:
        for text in (None, "[libdefaults]\n    rdns = false\n"):
            if text:
                write("/etc/krb5.conf", text)
            finding = heals(kpopd, "kdc", "/etc/krb5.conf is missing, or it "
                            "names neither a default_realm",
                            EDITOR=editor_path, KRB5_CONFIG="/etc/krb5.conf")
            tap.equal(finding["mend"], "${EDITOR:-vi} /etc/krb5.conf")
            os.unlink("/etc/krb5.conf")
    finally:
        if os.path.exists(kept):
            os.rename(kept, "/etc/krb5.conf")


def kdc_is_known_by_its_files():
    """What a command says depends on whether this is the KDC's machine."""
    kpopd = sound()
    os.unlink(kpopd.keys["keytab"])
    nothing = {"KRB5_KDC_PROFILE": os.path.join(kpopd.directory, "none")}
    folder = "/etc/krb5kdc"
    tap.true(is_ours(), "our own /etc")
    shutil.rmtree(folder, ignore_errors=True)
    finds(kpopd, "keytab", "is missing", mend="kadmin -r ", **nothing)
    config = altered(kpopd, "127.0.0.1:" + realm.env["REALM_PORT"],
                     "127.0.0.1:9")
    finds(kpopd, "kdc", "no KDC answers", KRB5_CONFIG=config,
          mend="KRB5_TRACE=/dev/stderr kinit -k -t ", **nothing)
    os.mkdir(folder)
    write(folder + "/kdc.conf", "")
    finds(kpopd, "keytab", "is missing", mend="kadmin.local -r ", **nothing)
    shutil.rmtree(folder)


def server_without_tickets_needs_no_keytab():
    kpopd = sound(listen_kpop="", mechanisms="PLAIN USER")
    os.unlink(kpopd.keys["keytab"])
    is_silent(kpopd)
    kpopd.configure(mechanisms="GSSAPI PLAIN USER")
    is_silent(kpopd)
    kpopd.configure(passwords="", secrets="")
    write(kpopd.keys["keytab"], "Not a keytab.\n")
    own(kpopd.keys["keytab"], AUTH_USER)
    os.chmod(kpopd.keys["keytab"], 0o600)
    finds(kpopd, "keytab", kpopd.keys["keytab"], mend="mv ")


def silent_kdc_is_found():
    kpopd = sound()
    config = os.path.join(kpopd.directory, "krb5.conf")
    with open(kpopd.env["KRB5_CONFIG"], encoding="ascii") as file:
        write(config, file.read().replace(
            "127.0.0.1:" + realm.env["REALM_PORT"], "127.0.0.1:9"))
    code, findings = told(kpopd, KRB5_CONFIG=config)
    tap.equal((code, [f["check"] for f in findings]), (1, ["kdc"]), findings)
    tap.contains(findings[0]["text"], "no KDC answers")
    is_silent(kpopd)  # by the right address


def keytab_that_is_no_keytab_is_found():
    kpopd = sound()
    write(kpopd.keys["keytab"], "Not a keytab.\n")
    code, findings = told(kpopd)
    tap.equal((code, [f["check"] for f in findings]), (1, ["keytab"]))
    subprocess.run(["sh", "-c", findings[0]["mend"]], check=True)
    heals(kpopd, "keytab", "is missing")


def missing_keytab_is_found():
    kpopd = sound(services=())
    heals(kpopd, "keytab", "is missing")
    serves(kpopd)


def unreadable_keytab_is_found():
    kpopd = sound()
    os.chown(kpopd.keys["keytab"], 0, 0)
    heals(kpopd, "keytab", AUTH_USER + " can't read it")
    serves(kpopd)


def keytab_in_a_closed_folder_is_found():
    kpopd = sound()
    folder = os.path.join(kpopd.directory, "keys of pop")
    os.mkdir(folder, 0o700)
    os.rename(kpopd.keys["keytab"], os.path.join(folder, "keytab"))
    kpopd.configure(keytab=os.path.join(folder, "keytab"))
    heals(kpopd, "keytab", "may not enter " + folder)


def keytab_for_everybody_is_found():
    kpopd = sound()
    os.chmod(kpopd.keys["keytab"], 0o644)
    heals(kpopd, "keytab", "mode 0644")


def keytab_of_layers_is_the_workers_as_well():
    """With max_ssf they check tickets, and have a replay cache."""
    kpopd = sound()
    kpopd.configure(max_ssf=256)
    worker = pwd.getpwnam(kpopd.keys["run_as"])
    os.chown(kpopd.keys["keytab"], -1, worker.pw_gid)
    os.chmod(kpopd.keys["keytab"], 0o640)
    kpopctl(kpopd.path, "check", env=kpopd.env)
    is_silent(kpopd)
    os.chmod(kpopd.keys["keytab"], 0o660)
    finding = heals(kpopd, "keytab", "mode 0660")
    tap.contains(finding["mend"], "chmod g-w,o= ")
    os.chmod(kpopd.keys["replay_cache"] + ".workers", 0o644)
    heals(kpopd, "files", "replay_cache", ".workers", "mode 0644")


def keytab_of_layers_that_workers_cannot_read_is_found():
    """And auth_user reads it, then as before, whoever it belonged to."""
    kpopd = sound()
    keytab = kpopd.keys["keytab"]
    worker = pwd.getpwnam(kpopd.keys["run_as"])
    owner = pwd.getpwnam(AUTH_USER)
    kpopd.configure(max_ssf=256)
    for uid, gid, mode in ((owner.pw_uid, owner.pw_gid, 0o400),
                           (0, owner.pw_gid, 0o640)):
        os.chown(keytab, uid, gid)
        os.chmod(keytab, mode)
        finding = heals(kpopd, "keytab", f"{WORKER_USER} can't read it",
                        "max_ssf is above 0")
        tap.contains(finding["mend"], "chmod 440 ")
        tap.equal((os.stat(keytab).st_uid, os.stat(keytab).st_gid),
                  (owner.pw_uid, worker.pw_gid), "owner and group")
        serves(kpopd)
    closed = os.path.join(kpopd.directory, "closed")
    os.mkdir(closed, 0o710)
    os.chown(closed, 0, owner.pw_gid)
    os.rename(keytab, closed + "/keytab")
    kpopd.configure(keytab=closed + "/keytab")
    finding = heals(kpopd, "keytab", f"{WORKER_USER} can't read it")
    tap.equal(finding["mend"], f"chmod o+x {closed}")


def keytab_without_gssapi_is_not_the_workers():
    """Layers are GSSAPI's."""
    kpopd = sound()
    kpopd.configure(max_ssf=256, mechanisms="PLAIN USER")
    is_silent(kpopd)
    worker = pwd.getpwnam(kpopd.keys["run_as"])
    os.chown(kpopd.keys["keytab"], -1, worker.pw_gid)
    os.chmod(kpopd.keys["keytab"], 0o640)
    heals(kpopd, "keytab", "who faces the network, can read it")


def keytab_for_the_workers_is_found():
    kpopd = sound()
    worker = pwd.getpwnam(kpopd.keys["run_as"])
    os.chown(kpopd.keys["keytab"], -1, worker.pw_gid)
    os.chmod(kpopd.keys["keytab"], 0o640)
    heals(kpopd, "keytab", "who faces the network, can read it")


# ---- the machine ----


@tap.helper
def add_user(name):
    need_lab()
    subprocess.run(["useradd", "--system", name], check=True,
                   stderr=subprocess.DEVNULL)


def missing_user_is_found():
    add_user("kpop-ghost")
    kpopd = sound(auth_user="kpop-ghost")
    give(kpopd.state, "kpop-ghost")
    for path in (kpopd.keys["keytab"], kpopd.keys["passwords"][5:],
                 kpopd.keys["secrets"][5:]):
        own(path, "kpop-ghost")
    is_silent(kpopd)
    subprocess.run(["userdel", "kpop-ghost"], check=True)
    heals(kpopd, "users", "there is no user kpop-ghost")
    serves(kpopd)


def missing_and_wrong_users_are_found():
    kpopd = sound()
    kpopd.configure(run_as=None, auth_user=None)
    for key, user in (("run_as", "kpop"), ("auth_user", "kpop-auth")):
        finds(kpopd, "users", key + " is not set",
              mend=f"echo '{key} = {user}' >>{kpopd.path}")
    kpopd.configure(run_as="root", auth_user="root")
    for key in ("run_as", "auth_user"):
        finds(kpopd, "users", key + " must not be root",
              mend=f"'s/^{key} *=.*/{key} = ")


def one_user_for_both_is_found():
    add_user("kpop-auth")
    kpopd = sound(auth_user="kpop-auth")
    give(kpopd.state, "kpop-auth")
    for path in (kpopd.keys["keytab"], kpopd.keys["passwords"][5:],
                 kpopd.keys["secrets"][5:]):
        own(path, "kpop-auth")
    kpopd.configure(auth_user=kpopd.keys["run_as"])
    heals(kpopd, "users", "the same user as run_as")


def foreign_replay_cache_is_found():
    kpopd = sound()
    path = kpopd.keys["replay_cache"]
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    heals(kpopd, "files", "replay_cache", "belongs to uid")
    os.chmod(path, 0o666)
    heals(kpopd, "files", "replay_cache", "mode 0666")
    serves(kpopd)


def replay_cache_that_is_a_link_is_found():
    kpopd = sound()
    path = kpopd.keys["replay_cache"]
    os.unlink(path)
    os.symlink("/dev/null", path)
    heals(kpopd, "files", "is no regular file")


def open_state_folder_is_found():
    kpopd = sound()
    os.chmod(kpopd.state, 0o777)
    heals(kpopd, "files", "others may write")


def closed_state_folder_is_found():
    kpopd = sound()
    auth = pwd.getpwnam(AUTH_USER)
    for owner, mode, user in (((0, 0), 0o700, AUTH_USER),
                              ((0, 0), 0o000, AUTH_USER),
                              ((0, auth.pw_gid), 0o750, WORKER_USER)):
        os.chown(kpopd.state, *owner)
        os.chmod(kpopd.state, mode)
        finding = heals(kpopd, "files", "state_dir: ",
                        f"{user} may not enter {kpopd.state}")
        tap.equal(finding["mend"], f"chmod 755 {kpopd.state}")
        serves(kpopd)
    closed = os.path.join(kpopd.directory, "closed")
    os.mkdir(closed, 0o700)
    os.rename(kpopd.state, closed + "/state")
    kpopd.configure(state_dir=closed + "/state",
                    replay_cache=kpopd.directory + "/replay/file")
    os.mkdir(kpopd.directory + "/replay")
    kpopctl(kpopd.path, "check", env=kpopd.env)
    heals(kpopd, "files", "state_dir: ", f"may not enter {closed}")
    os.chmod(kpopd.directory + "/replay", 0o700)
    heals(kpopd, "files", "replay_cache: ",
          f"{AUTH_USER} may not enter {kpopd.directory}/replay")


def folders_that_are_none_are_found():
    kpopd = sound()
    place = os.path.join(kpopd.directory, "some where")
    kpopd.configure(replay_cache=os.path.join(place, "deep", "replay"))
    heals(kpopd, "files", f"replay_cache: {place}/deep: No such file")
    os.rmdir(place + "/deep")
    write(place + "/deep", "")
    heals(kpopd, "files", f"replay_cache: {place}/deep is no folder")
    os.chown(place + "/deep", pwd.getpwnam("nobody").pw_uid, -1)
    heals(kpopd, "files", f"the folder {place}/deep belongs to uid")
    os.chmod(place + "/deep", 0o1777)
    is_silent(kpopd)
    path = kpopd.keys["replay_cache"]
    kpopctl(kpopd.path, "check", env=kpopd.env)
    os.link(path, path + ".second")
    heals(kpopd, "files", "is no regular file with one name")
    # A store without a folder of its own is for kpopd's own check.
    for store in ("maildir:/%u", None):
        kpopd.configure(store=store)
        lacks(kpopd, "files")


def mail_in_a_closed_folder_is_found():
    kpopd = sound()
    closed = os.path.join(kpopd.directory, "closed")
    os.makedirs(closed + "/mail")
    os.chmod(closed, 0o700)
    kpopd.configure(store=f"maildir:{closed}/mail/%u")
    give(closed + "/mail", kpopd.keys["run_as"])
    heals(kpopd, "files", "store", "may not enter " + closed)


def missing_mail_folder_is_found():
    kpopd = sound()
    shutil.rmtree(kpopd.mail)
    heals(kpopd, "files", "store", "is missing")
    serves(kpopd)


def closed_mail_folder_is_found():
    kpopd = sound()
    os.chown(kpopd.mail, 0, 0)
    os.chmod(kpopd.mail, 0o700)
    heals(kpopd, "files", "store", "may not enter")
    serves(kpopd)


def secrets_for_everybody_are_found():
    kpopd = sound()
    os.chmod(kpopd.keys["secrets"][5:], 0o644)
    heals(kpopd, "logins", "secrets", "mode 0644")


def passwords_for_everybody_are_found():
    kpopd = sound()
    os.chmod(kpopd.keys["passwords"][5:], 0o604)
    heals(kpopd, "logins", "passwords", "mode 0604")


def sasldb_for_everybody_is_found():
    if shutil.which("saslpasswd2") is None:
        raise tap.Skip("saslpasswd2 is not installed")
    kpopd = sound()
    path = os.path.join(kpopd.directory, "sasldb")
    subprocess.run(["saslpasswd2", "-p", "-c", "-f", path, "-u", "localhost",
                    "alice"], input="alice-password", text=True, check=True)
    own(path, AUTH_USER)
    os.chmod(path, 0o640)
    kpopd.configure(secrets=f"sasldb:{path}")
    is_silent(kpopd)
    os.chmod(path, 0o644)
    heals(kpopd, "logins", "everybody may read or change " + path)
    os.chown(path, 0, 0)
    os.chmod(path, 0o600)
    heals(kpopd, "logins", AUTH_USER + " can't read " + path)
    serves(kpopd)


def missing_pam_file_is_found():
    kpopd = sound(passwords="pam:kpop")
    write("/etc/pam.d/kpop", "auth required pam_deny.so\n")
    is_silent(kpopd)
    need_lab()
    os.unlink("/etc/pam.d/kpop")
    heals(kpopd, "logins", "there is no /etc/pam.d/kpop")
    serves(kpopd)


def other_sources_of_passwords_are_looked_at():
    kpopd = sound(passwords="pam:kpop")
    write("/etc/pam.d/kpop", "auth required pam_deny.so\n")
    os.chmod("/etc/pam.d/kpop", 0o600)
    heals(kpopd, "logins", "auth_user can't read /etc/pam.d/kpop")
    tap.true(is_ours(), "our own /etc")
    os.unlink("/etc/pam.d/kpop")
    common = "/etc/pam.d/common-auth"
    if os.path.exists(common):
        os.rename(common, common + ".away")
        finds(kpopd, "logins", "there is no /etc/pam.d/kpop",
              mend="substack system-auth")
        os.rename(common + ".away", common)
    kpopd.configure(passwords="saslauthd:", secrets="sasldb:")
    if not os.path.exists("/run/saslauthd/mux"):
        finds(kpopd, "logins", "has no socket at /run/saslauthd/mux")
    if not os.path.exists("/etc/sasldb2"):
        finds(kpopd, "logins", "/etc/sasldb2: No such file", mend="saslpass")


def closed_saslauthd_socket_is_found():
    kpopd = sound()
    folder = os.path.join(kpopd.directory, "saslauthd")
    os.mkdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(folder + "/mux")
        os.chmod(folder + "/mux", 0o777)
        kpopd.configure(passwords=f"saslauthd:{folder}/mux")
        is_silent(kpopd)
        os.chmod(folder, 0o700)
        heals(kpopd, "logins", "may not use saslauthd's socket")
        # As Debian has it.
        os.chmod(folder, 0o710)
        os.chown(folder, 0, grp.getgrnam("nogroup").gr_gid)
        finding = heals(kpopd, "logins", "may not use saslauthd's socket")
        tap.contains(finding["mend"], "usermod -a -G ")
        kpopd.configure(passwords=f"saslauthd:{kpopd.path}")
        finds(kpopd, "logins", "saslauthd has no socket at")


def socket_that_saslauthd_never_makes_is_found():
    """It calls it mux, in the folder that it is told."""
    kpopd = sound()
    for path in ("/nope", "/run/nosasl/foo", "/run/nosasl/notmux"):
        kpopd.configure(passwords=f"saslauthd:{path}")
        is_edited(kpopd, "passwords", "logins", f"has no socket at {path}; ",
                  "must end in /mux", script=f"s,saslauthd:.*,file:"
                  f"{kpopd.directory}/passwords,")
    kpopd.configure(passwords="saslauthd:/mux")
    if not os.path.exists("/run/systemd/system"):
        finds(kpopd, "logins", "has no socket at /mux",
              mend="mkdir -p / && saslauthd -a pam -m /")


def missing_saslauthd_socket_is_found():
    if shutil.which("saslauthd") is None:
        raise tap.Skip("saslauthd is not installed")
    kpopd = sound()
    folder = os.path.join(kpopd.directory, "saslauthd")
    kpopd.configure(passwords=f"saslauthd:{folder}/mux")
    try:
        heals(kpopd, "logins", f"has no socket at {folder}/mux")
    finally:
        with open(f"{folder}/saslauthd.pid", encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGTERM)
    serves(kpopd)


def taken_port_is_found():
    is_found_at_our_port("python3", "")


def port_of_a_false_kpopd_is_found():
    """1109 is a port that everybody may take, by any name."""
    is_found_at_our_port("kpopd", "open('/proc/self/comm', 'w')"
                         ".write('kpopd')\nos.setuid(65534)\n")


@tap.helper
def is_found_at_our_port(name, first):
    kpopd = sound()
    holder = subprocess.Popen(
        ["python3", "-c", "import os, socket, sys\n" + first +
         "s = socket.create_server(('127.0.0.1', 1109))\n"
         "print('ready', flush=True)\nsys.stdin.read()\n"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        tap.equal(holder.stdout.readline(), "ready\n")
        # The doctor is silent as soon as the process has ended.
        code, findings = told(kpopd)
        tap.equal((code, [f["check"] for f in findings]), (1, ["ports"]))
        tap.contains(findings[0]["text"], f"taken by {name}, process "
                     f"{holder.pid}")
        subprocess.run(["sh", "-c", findings[0]["mend"]], check=True)
        tap.equal(holder.wait(timeout=20 * tap.SLOW), -signal.SIGTERM)
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    is_silent(kpopd)
    serves(kpopd)


def address_of_another_machine_is_found():
    kpopd = sound(listen_pop3="192.0.2.1:110")
    heals(kpopd, "ports", "no address 192.0.2.1")
    serves(kpopd)
    kpopd.configure(listen_pop3="[2001:db8::7]:110 127.0.0.1:0")
    heals(kpopd, "ports", "no address 2001:db8::7")


def port_that_nobody_is_seen_to_hold_is_found():
    kpopd = sound()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 1109))  # and does not listen
        finds(kpopd, "ports", "127.0.0.1:1109 is taken, by whom can't be seen",
              mend="ss -tlnp 'sport = :1109'")
    is_silent(kpopd)
    try:
        holder = socket.create_server(("::", 1109), family=socket.AF_INET6,
                                      dualstack_ipv6=True)
    except OSError:
        raise tap.Skip("there is no IPv6") from None
    with holder:
        finds(kpopd, "ports", f"process {os.getpid()}")


def listeners_at_one_place_are_found():
    kpopd = sound()
    for places in ({"listen_pop3s": "127.0.0.1:110"},
                   {"listen_pop3s": "*:110"},
                   {"listen_pop3s": "0.0.0.0:995 0.0.0.0:110"}):
        kpopd.configure(**places)
        first, last = line_of(kpopd, "listen_pop3"), line_of(kpopd,
                                                             "listen_pop3s")
        is_edited(kpopd, "listen_pop3s", "ports",
                  f"listen_pop3 (line {first}) has 127.0.0.1:110 and "
                  f"listen_pop3s (line {last}) has "
                  + places["listen_pop3s"].split()[-1])
    kpopd.configure(listen_pop3s=None, listen_pop3="*:1109", listen_kpop=None)
    is_edited(kpopd, "listen_pop3", "ports", "listen_kpop (by default) has "
              "*:1109 and listen_pop3 (line ")
    # Neither of these meet: families, addresses, ports of the kernel's.
    kpopd.configure(listen_kpop="127.0.0.1:110 127.0.0.2:110 127.0.0.1:0",
                    listen_pop3="[::1]:110 127.0.0.1:0")
    lacks(kpopd, "ports")


def metrics_at_a_taken_place_are_found():
    """Mail is served all the same."""
    kpopd = sound(metrics="127.0.0.1:110")
    is_edited(kpopd, "metrics", "ports", "listen_pop3 (line ",
              "has 127.0.0.1:110 and metrics (line ", severity="warning")
    kpopd.configure(metrics="127.0.0.1:9109")
    with socket.create_server(("127.0.0.1", 9109)):
        finds(kpopd, "ports", "metrics: 127.0.0.1:9109 is taken by ",
              f"process {os.getpid()}", severity="warning")
    is_silent(kpopd)
    kpopd.configure(metrics="unix:relative")
    lacks(kpopd, "ports")
    with open(kpopd.path, encoding="ascii") as file:
        kept = file.read()
    finds(kpopd, "rest", "must begin with /",
          mend=f" +{line_of(kpopd, 'metrics')} ")
    with open(kpopd.path, encoding="ascii") as file:
        tap.equal(file.read(), kept, "the configuration")


def socket_of_the_metrics_without_a_place_is_found():
    kpopd = sound()
    place = os.path.join(kpopd.directory, "some where")
    kpopd.configure(metrics=f"unix:{place}/metrics")
    heals(kpopd, "ports", f"metrics: the folder {place}: No such file",
          severity="warning")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(place + "/metrics")
    is_silent(kpopd)
    kpopd.start()
    kpopd.await_log(r"event=process\.listen .*service=metrics")
    is_silent(kpopd)
    kpopd.stop()
    write(place + "/metrics", "A text.\n")
    is_edited(kpopd, "metrics", "ports", f"{place}/metrics is there and no "
              "socket", severity="warning")
    with open(place + "/metrics", encoding="ascii") as file:
        tap.equal(file.read(), "A text.\n")
    kpopd.configure(metrics=f"unix:{place}/metrics/deeper")
    is_edited(kpopd, "metrics", "ports", f"the folder {place}/metrics: Not a "
              "directory", severity="warning")


# ---- names ----


def name_without_address_is_found():
    kpopd = sound()
    write("/etc/hosts", "127.0.0.1 another\n")
    kpopd.configure(hostname="pop.nowhere.invalid", tls_certificate=None,
                    tls_key=None)
    admin("addprinc -randkey pop/pop.nowhere.invalid")
    realm.run("keytab", kpopd.keys["keytab"], "pop/pop.nowhere.invalid")
    own(kpopd.keys["keytab"], AUTH_USER)
    try:
        heals(kpopd, "names", "pop.nowhere.invalid has no address")
    finally:
        write("/etc/hosts", "127.0.0.1 localhost\n")


def address_with_another_name_is_found():
    kpopd = sound()
    write("/etc/hosts", "127.0.0.1 pop7.example.org localhost\n")
    try:
        heals(kpopd, "names", "is called pop7.example.org",
              severity="warning")
        # Kerberos has small letters.
        write("/etc/hosts", "127.0.0.1 POP7.Example.Org localhost\n")
        is_silent(kpopd)
        write(kpopd.keys["keytab"], "Not a keytab.\n")
        write("/etc/hosts", "127.0.0.1 pop8.example.org localhost\n")
        lacks(kpopd, "names")
        kpopd.configure(listen_kpop="", mechanisms="PLAIN USER")
        is_silent(kpopd)
    finally:
        write("/etc/hosts", "127.0.0.1 localhost\n")


def address_without_a_name_is_found():
    """And a certificate may be for an address."""
    kpopd = sound(hostname="127.0.0.9", mechanisms="PLAIN USER",
                  listen_kpop="")
    finding = finds(kpopd, "names", "127.0.0.9, which has no name",
                    severity="warning", mend="echo '127.0.0.9 127.0.0.9'")
    tap.true(finding["mend"].endswith(" >>/etc/hosts"), finding)
    finding = finds(kpopd, "tls", "is not for 127.0.0.9",
                    mend="subjectAltName=IP:127.0.0.9", severity="warning")
    subprocess.run(["sh", "-c", finding["mend"]], check=True,
                   stderr=subprocess.DEVNULL)
    lacks(kpopd, "tls")


def own_name_is_that_of_the_machine():
    kpopd = sound()
    name = os.uname().nodename
    kpopd.configure(hostname=None)
    try:
        for line, host in ((f"{name}.example.org {name}",
                            f"{name}.example.org"), (name, name)):
            write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {line}\n")
            finds(kpopd, "kdc", f"does not know {principal('pop/' + host)}")
        write("/etc/hosts", "127.0.0.1 localhost\n")
        finds(kpopd, "names", f"{name} has no address", mend="127.0.1.1 ")
        done = subprocess.run(
            "ip link add kpop0 type dummy && ip addr add 192.0.2.7/24 dev "
            "kpop0 && ip link set kpop0 up", shell=True, check=False,
            stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            finds(kpopd, "names", f"{name} has no address", mend="192.0.2.7 ")
    finally:
        write("/etc/hosts", "127.0.0.1 localhost\n")
        subprocess.run(["ip", "link", "del", "kpop0"], check=False,
                       stderr=subprocess.DEVNULL)


def wrong_port_in_services_is_found():
    kpopd = sound()
    services = "pop3 110/tcp\nkpop\t\t1110/tcp # Kerberized\n"
    try:
        write("/etc/services", services)
        heals(kpopd, "services", "has kpop at 1110/tcp", severity="warning")
        with open("/etc/services", encoding="ascii") as file:
            tap.equal(file.read(), services.replace("1110", "1109"))
        write("/etc/services", "pop3 110/tcp\n")
        heals(kpopd, "services", "has no kpop 1109/tcp", severity="warning")
    finally:
        write("/etc/services", "pop3 110/tcp\npop3s 995/tcp\nkpop 1109/tcp\n")


# ---- certificates ----


@tap.helper
def certificate(kpopd, *words, **more):
    """Signs itself, with the server's key."""
    openssl("req", "-x509", "-key", kpopd.keys["tls_key"], "-subj", "/CN=pop",
            "-addext", "subjectAltName=DNS:localhost", "-out",
            kpopd.keys["tls_certificate"], *words, **more)


def expired_certificate_is_found():
    kpopd = sound()
    certificate(kpopd, "-days", "10", env=dict(
        os.environ, LD_PRELOAD=faketime(), FAKETIME="-40d"))
    heals(kpopd, "tls", "ended ", "days ago")
    serves(kpopd)


@tap.helper
def soon_ends(kpopd):
    """In less than five days, so that the same number is told for hours."""
    certificate(kpopd, "-days", "5")
    tap.await_(lambda: told(kpopd)[1][0]["text"].find("ends in 4 days") > 0,
               "a second has passed")


def certificate_that_soon_ends_is_warned_of():
    kpopd = sound()
    soon_ends(kpopd)
    heals(kpopd, "tls", "ends in 4 days", severity="warning")


def certificate_that_is_not_valid_yet_is_found():
    kpopd = sound()
    certificate(kpopd, "-days", "10", env=dict(
        os.environ, LD_PRELOAD=faketime(), FAKETIME="+2d"))
    heals(kpopd, "tls", "is not valid yet")
    certificate(kpopd, "-days", "1", env=dict(
        os.environ, LD_PRELOAD=faketime(), FAKETIME="-30h"))
    finds(kpopd, "tls", "ended 0 days ago")


def certificate_in_one_file_with_its_key_is_found():
    kpopd = sound()
    path = kpopd.keys["tls_certificate"]
    soon_ends(kpopd)
    with open(path, "ab") as out, open(kpopd.keys["tls_key"], "rb") as more:
        out.write(more.read())
    os.chmod(path, 0o600)
    kpopd.configure(tls_key=None)
    heals(kpopd, "tls", "ends in 4 days", severity="warning")
    serves(kpopd)


def each_of_several_certificates_is_looked_at():
    kpopd = sound()
    other, key = kpopd.authority.sign("other", "other.example.org")
    good, good_key = kpopd.keys["tls_certificate"], kpopd.keys["tls_key"]
    kpopd.configure(tls_certificate=f"{other} {good}",
                    tls_key=f"{key} {good_key}")
    is_silent(kpopd)
    kpopd.configure(tls_certificate=f"{good} {other}",
                    tls_key=f"{good_key} {key}")
    is_silent(kpopd)
    os.unlink(good)
    heals(kpopd, "tls", good, "has no certificate")


def certificate_of_another_key_is_found():
    kpopd = sound()
    other, _ = kpopd.authority.sign("other", "localhost")
    shutil.copy(other, kpopd.keys["tls_certificate"])
    heals(kpopd, "tls", "is not its key")
    serves(kpopd)


def certificate_without_its_key_is_found():
    kpopd = sound()
    os.unlink(kpopd.keys["tls_key"])
    heals(kpopd, "tls", "has no key")
    serves(kpopd)


def certificate_without_key_in_one_file_is_found():
    kpopd = sound(tls_key=None)
    heals(kpopd, "tls", "has no key")
    serves(kpopd)


def certificate_for_another_host_is_found():
    kpopd = sound()
    other, key = kpopd.authority.sign("other", "other.example.org")
    kpopd.configure(tls_certificate=other, tls_key=key)
    heals(kpopd, "tls", "is not for localhost", severity="warning")


def key_with_a_passphrase_is_found():
    for name in (None, "both"):
        kpopd = sound()
        key = kpopd.keys["tls_key"]
        openssl("pkey", "-in", key, "-aes256", "-passout", "pass:secret",
                "-out", key + ".locked")
        os.rename(key + ".locked", key)
        if name:
            with open(kpopd.keys["tls_certificate"], "ab") as out, \
                    open(key, "rb") as more:
                out.write(more.read())
            os.chmod(kpopd.keys["tls_certificate"], 0o600)
            kpopd.configure(tls_key=None)
        code, findings = told(kpopd)
        tap.equal((code, [f["check"] for f in findings]), (1, ["tls"]))
        tap.contains(findings[0]["text"], "has a passphrase")
        # openssl asks the terminal.
        command = findings[0]["mend"].replace(
            "openssl pkey", "openssl pkey -passin pass:secret")
        subprocess.run(["sh", "-c", command], check=True)
        is_silent(kpopd)
        serves(kpopd)


def what_a_command_writes_anew_is_kept():
    kpopd = sound()
    path = kpopd.keys["tls_certificate"]
    soon_ends(kpopd)
    with open(path, "rb") as file:
        old = file.read()
    heals(kpopd, "tls", "ends in ", severity="warning")
    with open(path + ".old", "rb") as file:
        tap.equal(file.read(), old, "the old certificate")


def key_for_everybody_is_found():
    kpopd = sound()
    os.chmod(kpopd.keys["tls_key"], 0o644)
    heals(kpopd, "tls", "everybody may read it")


# ---- the configuration ----


def names_are_no_commands_to_the_shell():
    """Pasted by root: no value of the configuration, no name in a keytab may
    run anything.  Only the shell's own commands are within reach."""
    evil = "pop/x'$(:>pwned)'y"
    kpopd = sound(hostname="x'$(:>pwned)'y", tls_certificate="/letsencrypt/"
                  "live/$(:>pwned)/a.pem", tls_key="/nothing")
    admin(f'addprinc -randkey "{evil}"', f'modprinc -allow_tix "{evil}"',
          f'ktadd -norandkey -k {kpopd.directory}/keytab "{evil}"')
    try:
        code, findings = told(kpopd)
        tap.equal(code, 1, "status")
        for check in ("kdc", "names", "tls"):
            tap.contains([f["check"] for f in findings], check)
        tap.true(any("modprinc" in f["mend"] and "x'" in f["mend"]
                     for f in findings), f"{findings}")
        for finding in findings:
            subprocess.run(["/bin/sh", "-c", finding["mend"]], check=False,
                           env={"PATH": "/nonexistent"}, cwd=kpopd.directory,
                           stderr=subprocess.DEVNULL)
            tap.true(not os.path.exists(kpopd.directory + "/pwned"),
                     finding["mend"])
    finally:
        admin(f'delprinc -force "{evil}"')


def value_that_is_wrong_is_for_an_editor():
    kpopd = sound(idle_timeout="never")
    is_edited(kpopd, "idle_timeout", "configuration", f"{kpopd.path}:",
              "idle_timeout")
    for octets in (b"x\0y\n", b"#" + b"x" * 5000 + b"\n"):
        with open(kpopd.path, "rb") as file:
            kept = file.read()
        with open(kpopd.path, "ab") as file:
            file.write(octets)
        finding = heals(kpopd, "configuration", f"{kpopd.path}:",
                        EDITOR=editor(kpopd, "$d"))
        tap.contains(finding["mend"], "${EDITOR:-vi} +")
        with open(kpopd.path, "rb") as file:
            tap.equal(file.read(), kept)


def line_that_means_nothing_is_taken_away():
    kpopd = sound()
    with open(kpopd.path, encoding="ascii") as file:
        kept = file.read()
    count = kept.count("\n") + 1
    for line, told_of in (("colour_of_mail = blue", "unknown key"),
                          ("hostname = other.example.org", "was set already"),
                          ("[section]", "`key = value' is needed")):
        write(kpopd.path, f"{kept}{line}\n")
        finding = heals(kpopd, "configuration", f"{kpopd.path}:{count}: ",
                        told_of)
        tap.equal(finding["mend"], f"sed -i '{count}s/^/#/' {kpopd.path}")
        with open(kpopd.path, encoding="ascii") as file:
            tap.equal(file.read(), f"{kept}#{line}\n")


def misspelt_key_is_written_well():
    """What it was meant to forbid, its absence might allow."""
    kpopd = sound()
    with open(kpopd.path, encoding="ascii") as file:
        kept = file.read()
    write(kpopd.path, kept + " principal-mapp = /etc/kpop/principal-mapp\n")
    _, findings = told(kpopd)
    subprocess.run(["sh", "-c", findings[0]["mend"]], check=True)
    with open(kpopd.path, encoding="ascii") as file:
        tap.equal(file.read(),
                  kept + " principal_map = /etc/kpop/principal-mapp\n")
    write(kpopd.path, kept + "idle_timout = 700\n")
    heals(kpopd, "configuration", "did you mean idle_timeout?")
    # An odd one may be no part of a command.
    write(kpopd.path, kept + "idle.timeou/ = 700\n")
    finds(kpopd, "configuration", "did you mean", mend="${EDITOR:-vi} +")


def what_only_check_knows_is_told():
    """A map that is taken away lets others read: nothing is taken away."""
    kpopd = sound()
    kpopd.configure(principal_map="/nonexistent/map")
    is_edited(kpopd, "principal_map", "rest", f"{kpopd.path}:",
              "principal_map")


def key_that_is_not_set_costs_no_other_line():
    kpopd = sound(listen_pop3="")
    for key, value in (("listen_pop3s", "127.0.0.1:995"),
                       ("tls_client_ca", kpopd.authority.path),
                       ("tls_key", kpopd.keys["tls_key"])):
        kpopd.configure(**{"tls_certificate": None, "tls_key": None,
                           "tls_client_ca": None, "listen_pop3s": None,
                           key: value})
        is_edited(kpopd, key, "rest", "tls_certificate: is needed ",
                  "(not set, ")
    kpopd.configure(store=None, tls_key=None)
    finding = finds(kpopd, "rest", "store: is needed")
    tap.equal(finding["mend"], "${EDITOR:-vi} " + kpopd.path)


def controls_of_a_name_stay_off_the_terminal():
    """And nothing is pasted that a terminal would obey."""
    kpopd = sound()
    evil = "pop/x\x1b[2J\x7fy"
    for query in (f'addprinc -randkey "{evil}"', "ktadd -norandkey -k "
                  f'{kpopd.directory}/keytab "{evil}"',
                  f'delprinc -force "{evil}"'):
        subprocess.run(["kadmin.local", "-r", "EXAMPLE.ORG", "-q", query],
                       check=True, env=dict(os.environ, **realm.env),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finding = finds(kpopd, "kdc", "has keys of pop/x [2J y@EXAMPLE.ORG",
                    severity="warning")
    tap.true(finding["mend"].endswith(" -q ''"), finding)
    kpopd.configure(tls_key=None, tls_certificate=None, passwords="file:",
                    secrets="file:-rf")
    finds(kpopd, "logins", "passwords", mend="/dev/null ''")
    finds(kpopd, "logins", "secrets", mend="/dev/null '-rf'")


def missing_configuration_is_told():
    kpopd = sound()
    os.unlink(kpopd.path)
    finds(kpopd, "configuration", kpopd.path, mend="${EDITOR:-vi} ")


def missing_module_is_told():
    kpopd = sound()
    code, out, _ = kpopctl(kpopd.path, "-m", "/nonexistent/kpop.so", "doctor",
                           env=kpopd.env)
    tap.equal(code, 1)
    tap.true(out.startswith("error: module: "), out)
    tap.contains(out, "; mend: ")


def plain_users_are_told_what_only_root_can_see():
    kpopd = sound()
    os.chmod(kpopd.authority.directory, 0o755)
    code, out, error = kpopctl_as("nobody", kpopd.path, "doctor",
                                  env=kpopd.env)
    tap.equal((code, error), (5, ""), out)
    for what in ("keytab", "tls_key", "passwords", "secrets"):
        tap.contains(out, f"{what} {kpopd.directory}", what)
    for line in out.splitlines():
        tap.true(line.startswith("warning: "), line)
        tap.true(line.endswith(f"; mend: sudo kpopctl -c {kpopd.path} doctor"),
                 line)


@tap.helper
def of_nobody(kpopd):
    """Findings of a server whose one user is nobody, who asks himself."""
    code, out, error = kpopctl_as("nobody", kpopd.path, "doctor", "-j",
                                  env=kpopd.env)
    tap.equal(error, "", out)
    findings = json.loads(out)["findings"]
    tap.equal(code, 0 if not findings else 1, out)
    return [(f["check"], f["text"], f["mend"]) for f in findings]


def server_of_a_plain_user_is_looked_at():
    """kpopd without root has no other users."""
    kpopd = sound(run_as=None, auth_user=None, listen_pop3="",
                  store="maildir:/nonexistent/%u")
    os.chmod(kpopd.path, 0o644)
    home = os.path.join(kpopd.directory, "home")
    kpopd.configure(store=f"maildir:{home}/mail/%u", listen_kpop=
                    "127.0.0.1:1109", replay_cache=home + "/replay",
                    state_dir=home)
    os.makedirs(home + "/mail")
    give(kpopd.directory, "nobody")
    os.chmod(kpopd.authority.directory, 0o755)
    tap.equal(of_nobody(kpopd), [])
    uid = pwd.getpwnam("nobody").pw_uid
    keytab = kpopd.keys["keytab"]

    def finds_one(check, text, mend):
        found = of_nobody(kpopd)
        tap.equal([f[0] for f in found], [check], f"{found}")
        tap.contains(found[0][1], text)
        tap.contains(found[0][2], mend)

    os.chmod(keytab, 0)
    finds_one("keytab", "this user can't read it",
              f"sudo chown {uid} {keytab} && sudo chmod 600 {keytab}")
    os.chmod(keytab, 0o600)
    os.chmod(home + "/mail", 0)
    finds_one("files", "this user, who delivers", "chmod u+rwx ")
    os.rmdir(home + "/mail")
    finds_one("files", "is missing", f"install -d -m 700 {home}/mail")
    os.mkdir(home + "/mail")
    give(home, "nobody")
    write(home + "/replay", "")
    os.chmod(home + "/replay", 0o644)
    finds_one("files", "must be this user's alone", "chmod 600 ")
    os.unlink(home + "/replay")
    os.unlink(kpopd.keys["secrets"][5:])
    finds_one("logins", "is missing", "install -m 600 /dev/null ")


def several_faults_are_told_at_once():
    kpopd = sound()
    os.chmod(kpopd.keys["tls_key"], 0o644)
    os.chmod(kpopd.keys["keytab"], 0o644)
    os.chmod(kpopd.keys["secrets"][5:], 0o644)
    _, findings = told(kpopd)
    tap.equal([f["check"] for f in findings], ["keytab", "tls", "logins"])


if __name__ == "__main__":
    tap.main(globals(), before, after)
