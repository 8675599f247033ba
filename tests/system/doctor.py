#!/usr/bin/env python3
# doctor.py - kpopctl doctor against a real realm: faults are planted one by
# one, the doctor names each, the command it prints is given to a shell, and
# then it has nothing to say.  /etc is a copy in a mount namespace.
# TIME-LIMIT: 180
#
# SPDX-License-Identifier: MIT
import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness.realm import Realm  # noqa: E402 (inside the network)
from harness.server import (AUTH_USER, Kpopd, give, kpopctl,  # noqa: E402
                            kpopctl_as, own, passwords, secrets)
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
    finally:
        write("/etc/hosts", "127.0.0.1 localhost\n")


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


def certificate_that_soon_ends_is_warned_of():
    kpopd = sound()
    certificate(kpopd, "-days", "5")
    heals(kpopd, "tls", "ends in ", severity="warning")


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
    certificate(kpopd, "-days", "5")
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


def mistake_in_the_configuration_is_found():
    kpopd = sound(idle_timeout="never")
    heals(kpopd, "configuration", f"{kpopd.path}:", "idle_timeout")


def what_only_check_knows_is_told():
    kpopd = sound()
    kpopd.configure(principal_map="/nonexistent/map")
    heals(kpopd, "rest", f"{kpopd.path}:", "principal_map")


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


def several_faults_are_told_at_once():
    kpopd = sound()
    os.chmod(kpopd.keys["tls_key"], 0o644)
    os.chmod(kpopd.keys["keytab"], 0o644)
    os.chmod(kpopd.keys["secrets"][5:], 0o644)
    _, findings = told(kpopd)
    tap.equal([f["check"] for f in findings], ["keytab", "tls", "logins"])


if __name__ == "__main__":
    tap.main(globals(), before, after)
