#!/usr/bin/env python3
# kpopctl.py - kpopctl's commands against a real realm, a real kpopd and the
# real fetchmail.
# TIME-LIMIT: 120
#
# SPDX-License-Identifier: MIT
import json
import os
import pty
import re
import shutil
import subprocess
import tempfile

from harness import net, tap

net.enter()

from harness.realm import Realm  # noqa: E402 (inside the network)
from harness.maildir import Maildir  # noqa: E402
from harness.server import Kpopd, check, kpopctl  # noqa: E402
from harness.tls import Authority  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-ctl-")
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
def server(start=False, **keys):
    global counter
    counter += 1
    return Kpopd(os.path.join(scratch.name, f"kpopd{counter}"), realm,
                 start=start, **keys)


@tap.helper
def said(kpopd, *words, status=0):
    """What a command says as JSON."""
    code, out, err = kpopctl(kpopd.path, *words, "--json", env=kpopd.env)
    tap.equal(code, status, f"exit status of {words}; {out}{err}")
    tap.equal(out.count("\n"), 1, f"lines of {out!r}")
    return json.loads(out)


def show_config_tells_each_key_and_its_origin():
    kpopd = server(idle_timeout="700 # why", listen_pop3="")
    told = said(kpopd, "show-config")
    tap.equal(told["file"], kpopd.path)
    keys = {entry["key"]: entry for entry in told["keys"]}
    with open(os.path.join(net.ROOT, "plugin.conf.sample"),
              encoding="ascii") as file:
        known = re.findall(r"(?m)^#(\w+) =", file.read())
    tap.equal(sorted(keys), sorted(known), "keys")
    for line, key in enumerate(kpopd.keys, 1):
        tap.equal((keys[key]["origin"], keys[key]["line"]), ("file", line),
                  key)
    tap.equal(keys["idle_timeout"]["value"], "700")
    tap.equal(keys["idle_timeout"]["default"], "600")
    tap.equal(keys["listen_pop3"]["value"], "")
    tap.equal(keys["max_sessions"], {
        "key": "max_sessions", "value": "10000", "default": "10000",
        "origin": "default", "line": None})


def show_config_prints_a_configuration_of_the_same_meaning():
    kpopd = server(services="pop", tls_ocsp="", listen_pop3="127.0.0.1:0")
    code, out, err = kpopctl(kpopd.path, "show-config", env=dict(
        kpopd.env, TERM="vt100", NO_COLOR=""))
    tap.equal((code, err), (0, ""))
    tap.lacks(out, "\033", "no colours without a terminal")
    printed = os.path.join(kpopd.directory, "printed.conf")
    with open(printed, "w", encoding="utf-8") as file:
        file.write(out)
    values = [[(e["key"], e["value"]) for e in said(it, "show-config")["keys"]]
              for it in (kpopd, with_path(kpopd, printed))]
    tap.equal(values[1], values[0], "values")
    status, output = check(printed, kpopd.env)
    tap.equal(status, 0, f"kpopctl check of what was printed; {output}")


@tap.helper
def with_path(kpopd, path):
    """The same server by another file."""
    class Other:
        env = kpopd.env
    Other.path = path
    return Other


def mistakes_are_json_when_asked():
    kpopd = server(idle_timeout="never")
    for command in ("check", "show-config"):
        told = said(kpopd, command, status=1)
        tap.equal(list(told), ["error"])
        tap.true(told["error"].startswith(f"{kpopd.path}:"), told)
        tap.contains(told["error"], "idle_timeout")


def check_is_json_when_asked():
    tap.equal(said(server(), "check"), {"error": None})


def odd_octets_are_valid_json():
    kpopd = server()
    with open(kpopd.path, "ab") as file:
        file.write(b'passwords = file:/x"\\\xc3\xa9\xff\n'
                   # RFC 3629: of two to four octets, and what is none:
                   # cut off, surrogates, too long a form, above U+10FFFF.
                   b"secrets = file:/\xe2\x82\xac\xf0\x9f\x98\x80"
                   b"\xf4\x8f\xbf\xbf\xe2\x82x\xed\xa0\x80\xc0\x80\xe0\x9f\xbf"
                   b"\xf4\x90\x80\x80\xc3\n")
    keys = {entry["key"]: entry["value"]
            for entry in said(kpopd, "show-config")["keys"]}
    tap.equal(keys["passwords"], 'file:/x"\\\u00e9\ufffd')
    tap.equal(keys["secrets"], "file:/\u20ac\U0001f600\U0010ffff"
              + "\ufffd" * 2 + "x" + "\ufffd" * 13)


@tap.helper
def on_a_terminal(kpopd, *words, **env):
    """What a command writes to a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [os.path.join(net.BUILD, "kpopctl"), "-c", kpopd.path, *words],
        env=dict(kpopd.env, **env), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    pieces = []
    while True:
        try:
            pieces.append(os.read(master, 65536))
        except OSError:  # the other side is closed
            break
        if not pieces[-1]:
            break
    os.close(master)
    process.wait()
    return b"".join(pieces).decode()


def colours_are_for_terminals_that_want_them():
    kpopd = server()
    plain = {"TERM": "vt100", "NO_COLOR": ""}
    tap.contains(on_a_terminal(kpopd, "show-config", **plain), "\033[")
    for words, env in ((["show-config", "--json"], plain),
                       (["show-config"], dict(plain, NO_COLOR="1")),
                       (["show-config"], dict(plain, TERM="dumb"))):
        tap.lacks(on_a_terminal(kpopd, *words, **env), "\033[",
                  f"{words} {env}")


def full_disk_is_told():
    kpopd = server()
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(
            [os.path.join(net.BUILD, "kpopctl"), "-c", kpopd.path,
             "show-config"], env=kpopd.env, stdout=full, text=True,
            stderr=subprocess.PIPE, check=False)
    tap.equal(done.returncode, 1)
    tap.contains(done.stderr, "cannot write")


@tap.helper
def fetch_by(rc, kpopd, user="alice", **env):
    """fetchmail by that very file: (status, output, messages)."""
    if shutil.which("fetchmail") is None:
        raise tap.Skip("fetchmail is not installed")
    home = tempfile.mkdtemp(dir=kpopd.directory)
    path = os.path.join(home, "rc")
    with open(path, "w", encoding="ascii") as file:
        file.write(rc)
    os.chmod(path, 0o600)
    deliver = os.path.join(home, "deliver")
    with open(deliver, "w", encoding="ascii") as file:
        file.write(f'#!/bin/sh\ncat >"{home}/got.$$"\n')
    os.chmod(deliver, 0o700)
    done = subprocess.run(
        ["fetchmail", "-f", path, "--nodetach", "--nosyslog", "--timeout",
         "30", "--pidfile", os.path.join(home, "pid"), "--fetchall", "--mda",
         deliver],
        env=dict(kpopd.env, HOME=home, FETCHMAILHOME=home,
                 KRB5CCNAME=realm.ccache(user), **net.client_env(), **env),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
        stderr=subprocess.STDOUT, text=True, timeout=60 * tap.SLOW)
    got = [name for name in os.listdir(home) if name.startswith("got.")]
    return done.returncode, done.stdout, len(got)


@tap.helper
def with_tls(names=None, **keys):
    """A server with a certificate, and who trusts it."""
    authority = Authority(os.path.join(scratch.name, f"ca{counter}"))
    certificate, key = authority.sign("pop", *(names or [tls_name()]))
    kpopd = server(start=True, tls_certificate=certificate, tls_key=key,
                   listen_kpop=f"{net.address()}:1109", **keys)
    return kpopd, {"SSL_CERT_FILE": authority.path}


@tap.helper
def tls_name():
    return net.host() if net.is_private() else "IP:" + net.address()


def client_setup_without_certificate_serves_fetchmail():
    with server(start=True, listen_kpop=f"{net.address()}:1109") as kpopd:
        told = said(kpopd, "client-setup", net.host(), "-u", "alice")
        tap.equal((told["services"], told["tls"]), ("kpop 1109/tcp", False))
        tap.contains(told["fetchmailrc"], 'sslproto ""')
        Maildir(kpopd, "alice").fill(2)
        status, output, got = fetch_by(told["fetchmailrc"], kpopd)
        tap.equal((status, got), (0, 2), output)
        # The text is a file as it is; its line of services is none.
        _, text, _ = kpopctl(kpopd.path, "client-setup", net.host(), "-u",
                             "alice", env=kpopd.env)
        kept = [line for line in text.splitlines()
                if not re.fullmatch(r"kpop +1109/tcp", line)]
        tap.equal(len(text.splitlines()) - len(kept), 1, text)
        Maildir(kpopd, "alice").fill(1)
        status, output, got = fetch_by("\n".join(kept) + "\n", kpopd)
        tap.equal((status, got), (0, 1), output)


def client_setup_with_certificate_insists_on_tls():
    kpopd, env = with_tls()
    with kpopd:
        told = said(kpopd, "client-setup", net.host(), "-u", "alice")
        tap.equal(told["tls"], True)
        tap.lacks(told["fetchmailrc"], 'sslproto ""')
        Maildir(kpopd, "alice").fill(1)
        status, output, got = fetch_by(told["fetchmailrc"], kpopd)
        tap.true(status != 0, f"nobody trusts it: {output}")
        tap.equal(got, 0, "messages in spite of the certificate")
        status, output, got = fetch_by(told["fetchmailrc"], kpopd, **env)
        tap.equal((status, got), (0, 1), output)
        tap.contains(kpopd.log(), "event=tls.start", "the log")
    # Somebody in between takes STLS away.
    with server(start=True, listen_kpop=f"{net.address()}:1109") as plain:
        Maildir(plain, "alice").fill(1)
        status, output, got = fetch_by(told["fetchmailrc"], plain, **env)
        tap.true(status != 0, f"TLS was taken away: {output}")
        tap.equal(got, 0, "messages without TLS")


def client_setup_knows_kpop_stls():
    kpopd, _ = with_tls(kpop_stls="no")
    with kpopd:
        told = said(kpopd, "client-setup", net.host(), "-u", "alice")
        tap.equal(told["tls"], False)
        Maildir(kpopd, "alice").fill(1)
        status, output, got = fetch_by(told["fetchmailrc"], kpopd)
        tap.equal((status, got), (0, 1), output)


def client_setup_without_user_is_for_everybody():
    kpopd = server(listen_kpop="[::1]:1110 *:1109")
    told = said(kpopd, "client-setup", "pop.example")
    tap.equal(told["fetchmailrc"], "poll pop.example protocol kpop auth "
              'kerberos_v5\n    sslproto ""\n')


def client_setup_refuses_what_cannot_be():
    for listen in ("", "127.0.0.1:0", "*:1110 127.0.0.1:11090"):
        kpopd = server(listen_kpop=listen)
        told = said(kpopd, "client-setup", "pop.example", status=1)
        tap.contains(told["error"], f"{kpopd.path}:2: listen_kpop: has no ")
    for words in (["a b"], ["a\nmda evil"], ['a"'], [""], ["x" * 256],
                  ["ok", "-u", 'a"'], ["ok", "-u", "a\\"]):
        told = said(kpopd, "client-setup", *words, status=2)
        tap.contains(told["error"], "may have up to")


@tap.helper
def refusal(*words):
    """The first line about a call that is none; behind it is the usage."""
    done = subprocess.run([os.path.join(net.BUILD, "kpopctl"), *words],
                          text=True, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    tap.equal((done.returncode, done.stdout), (2, ""), f"{words}")
    first, _, rest = done.stderr.partition("\n")
    tap.equal(rest, "usage: kpopctl [options] command\n"
              "kpopctl --help tells more.\n", f"{words}: {first}")
    return first


def wrong_calls_are_told_what_is_wrong():
    for words, said_of in (
            ([], "a command is needed"),
            (["nonsense"], 'there is no command "nonsense"'),
            (["kick"], "kick needs a session or a user"),
            (["login"], "login needs a host"),
            (["client-setup"], "client-setup needs a host"),
            (["uidl", "show"], "uidl needs show or import, and a user"),
            (["who", "x", "y"], '"x" is one word too many for who'),
            (["login", "a", "b"], '"b" is one word too many for login'),
            (["-p", "abc", "login", "a"],
             "--port is a number from 1 to 65535"),
            (["--port", "99999", "login", "a"],
             "--port is a number from 1 to 65535"),
            (["--config"], "--config needs a word behind it"),
            (["--colour"], "there is no option --colour, or several begin "
             "so"),
            (["-jx"], "there is no option -x"),
            (["--json=yes", "who"], "the option --json=yes takes no word")):
        tap.equal(refusal(*words), "kpopctl: " + said_of)


def words_of_the_caller_stay_off_the_terminal():
    evil = "x\033[2J\x7f\u009b"
    for words in ([evil], ["who", evil], ["--" + evil], ["-\033"],
                  ["--json=" + evil], ["y" * 5000]):
        told = refusal(*words)
        tap.true(told.isascii() and told.isprintable(), ascii(told))


def help_is_a_command_as_well():
    texts = [subprocess.run([os.path.join(net.BUILD, "kpopctl"), word],
                            text=True, check=True, stdout=subprocess.PIPE)
             .stdout for word in ("--help", "help")]
    tap.contains(texts[0], "client-setup HOST")
    tap.equal(texts[1], texts[0])


@tap.helper
def bash_offers(*words, path=""):
    """What bash completes the last word to."""
    script = os.path.join(net.ROOT, "packaging/completion/kpopctl")
    done = subprocess.run(
        ["bash", "--norc", "-c",
         '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kpopctl;'
         ' printf "%s\\n" "${COMPREPLY[@]}"', "bash", script, "kpopctl",
         *words], text=True, check=True, cwd=scratch.name,
        env=dict(os.environ, PATH=path + os.environ["PATH"]),
        stdout=subprocess.PIPE)
    return done.stdout.split()


def bash_completes_commands_options_and_files():
    tap.contains(bash_offers(""), "show-config")
    tap.contains(bash_offers("--js"), "--json")
    tap.equal(bash_offers("sho"), ["show-config"])
    tap.equal(bash_offers("-c", "some.conf", "-j", "sho"), ["show-config"])
    tap.equal(bash_offers("check", "sho"), [])
    with open(os.path.join(scratch.name, "shown.conf"), "w",
              encoding="ascii"):
        pass
    tap.equal(bash_offers("-c", "sho"), ["shown.conf"])


def bash_completes_who_can_be_kicked():
    folder = os.path.join(scratch.name, "bin")
    os.makedirs(folder)
    stub = os.path.join(folder, "kpopctl")
    with open(stub, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\ncat <<E\nSESSION USER ADDRESS\n"
                   "1a bob 10.0.0.1:99\n1b - 10.0.0.2:99\nE\n")
    os.chmod(stub, 0o755)
    tap.equal(bash_offers("kick", "", path=folder + ":"), ["1a", "bob", "1b"])
    tap.equal(bash_offers("-j", "kick", "b", path=folder + ":"), ["bob"])
    tap.equal(bash_offers("kick", "bob", "", path=folder + ":"), [])


@tap.helper
def zsh_offers(word):
    """The line that zsh makes of `kpopctl WORD` and a tab."""
    if shutil.which("zsh") is None:
        raise tap.Skip("zsh is not installed")
    functions = os.path.join(net.ROOT, "packaging/completion")
    script = r"""
zmodload zsh/zpty
zpty z zsh -f -i
say() { zpty -w z "$1"; }
say "PS1='' ; stty -echo; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; echo ready''now"
zpty -r -m z got '*readynow*' || exit 1
# The line is printed instead of run.
say "show() { print -r -- \"line=<\$BUFFER>\"; BUFFER=; zle accept-line }; zle -N show; bindkey '^X' show; echo bound''now"
zpty -r -m z got '*boundnow*' || exit 1
zpty -w -n z "kpopctl $2"$'\t\x18'
zpty -r -m z got '*line=<*>*' || exit 1
print -r -- ${${got##*line=<}%%>*}
"""
    done = subprocess.run(
        ["zsh", "-f", "-c", script, "zsh", functions, word], text=True,
        env=dict(os.environ, TERM="vt100", HOME=scratch.name), check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=30 * tap.SLOW)
    tap.equal(done.returncode, 0, f"zsh; {done.stdout!r}")
    return done.stdout.strip()


def zsh_completes_commands_and_options():
    tap.equal(zsh_offers("sho"), "kpopctl show-config")
    tap.equal(zsh_offers("--js"), "kpopctl --json")


if __name__ == "__main__":
    tap.main(globals(), before, after)
