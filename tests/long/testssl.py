#!/usr/bin/env python3
# testssl.py - what testssl.sh finds in our TLS, on POP3S and behind STLS, with
# certificates of P-256 and of RSA: nothing that it holds for a weakness.
# TIME-LIMIT: 900
#
# SPDX-License-Identifier: MIT
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../system"))

from harness import net, tap  # noqa: E402 (its folder is known now)

net.enter()

from harness import tls  # noqa: E402 (inside the network)
from harness.realm import Realm  # noqa: E402
from harness.server import Kpopd, passwords  # noqa: E402

scratch = tempfile.TemporaryDirectory(prefix="kpop-testssl-")
realm = None
authority = None

KINDS = {"P-256": tls.CURVE, "RSA-2048": ("-newkey", "rsa:2048", "-nodes")}
WAYS = {"POP3S": ("pop3s", ()), "STLS": ("pop3", ("-t", "pop3"))}

WEAK = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
# What a certificate that we sign for a test can't have.
OF_THE_CERTIFICATE = ("cert_revocation", "cert_crlDistributionPoints",
                      "cert_ocspURL", "DNS_CAArecord", "OCSP_stapling",
                      "cert_expirationStatus", "cert_notAfter",
                      "cert_extlifeSpan")


@tap.helper
def before():
    global realm, authority
    os.chmod(scratch.name, 0o711)
    net.prepare(scratch.name)
    realm = Realm(os.path.join(scratch.name, "realm"))
    authority = tls.Authority(os.path.join(scratch.name, "ca"))
    for name, kind in KINDS.items():
        authority.sign(name, net.host(), "IP:127.0.0.1", kind=kind)


@tap.helper
def after():
    if realm:
        realm.stop()
    scratch.cleanup()


def program():
    for name in ("testssl", "testssl.sh"):
        if shutil.which(name):
            return name
    raise tap.Skip("testssl.sh is not installed")


def findings(kind, way):
    service, options = WAYS[way]
    directory = os.path.join(scratch.name, f"{kind}-{way}")
    report = os.path.join(scratch.name, f"{kind}-{way}.json")
    with Kpopd(directory, realm, listen_pop3=f"{net.address()}:0",
               listen_pop3s=f"{net.address()}:0", mechanisms="PLAIN USER",
               tls_certificate=authority.file(kind + ".pem"),
               tls_key=authority.file(kind + ".key"),
               passwords="file:" + passwords(directory, "alice")) as kpopd:
        done = subprocess.run(
            [program(), "--color", "0", "--warnings", "batch", "--quiet",
             "--ip", "one", "--add-ca", authority.path, "--openssl",
             shutil.which("openssl"), "--jsonfile", report, *options,
             f"{net.host()}:{kpopd.ports[service]}"], check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=400)
    with open(report, encoding="utf-8") as file:
        found = json.load(file)
    # It was there, and it looked.
    said = {row["id"]: row for row in found}
    tap.contains(said.get("TLS1_3", {}).get("finding", ""), "offered",
                 done.stdout.decode("utf-8", "backslashreplace"))
    tap.true("LUCKY13" in said, "the last of its tests was reached")
    return found


def judge(kind, way):
    weak = []
    for row in findings(kind, way):
        name = row["id"].split(" ")[0]
        if row["id"] == "overall_grade":
            tap.true(row["finding"].startswith("A"), f"grade: {row}")
        if row["severity"] in WEAK and name not in OF_THE_CERTIFICATE:
            weak.append(f"{row['severity']} {row['id']}: {row['finding']}")
    tap.equal(weak, [], "what testssl.sh finds weak")


def scan(kind, way):
    return lambda: judge(kind, way)


if __name__ == "__main__":
    tap.main({"__name__": __name__,
              **{f"{kind} by {way}": scan(kind, way)
                 for kind in KINDS for way in WAYS}}, before, after)
