# clients.py - real clients: fetchmail.
#
# SPDX-License-Identifier: MIT
import os
import pwd
import shutil
import subprocess
import time

from harness import net, tap


class Fetchmail:
    """fetchmail in a home of its own; what it gets lands in got()."""

    def __init__(self, directory, port, protocol="kpop", user="alice",
                 auth="kerberos_v5", password="unused", more="",
                 tls="sslproto '' no sslcertck"):
        if shutil.which("fetchmail") is None:
            raise tap.Skip("fetchmail is not installed")
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.output = ""
        deliver = os.path.join(directory, "deliver")
        with open(deliver, "w", encoding="ascii") as file:
            file.write(f'#!/bin/sh\ncat >"{directory}/got.$$"\n')
        os.chmod(deliver, 0o700)
        me = pwd.getpwuid(os.getuid()).pw_name
        rc = os.path.join(directory, "rc")
        with open(rc, "w", encoding="ascii") as file:
            file.write(f"poll {net.host()} service {port} protocol {protocol}"
                       f" auth {auth}\n  user {user} password {password}"
                       f" is {me} here\n  fetchall {tls} {more}\n  mda {deliver}\n")
        os.chmod(rc, 0o600)
        # root's has one lock for the whole machine.
        self.words = ["fetchmail", "-f", rc, "--nodetach", "--nosyslog",
                      "--pidfile", os.path.join(directory, "pid"),
                      "--timeout", "30"]

    def run(self, realm=None, ccache=None, seconds=60):
        """The exit status; output and took are kept."""
        env = dict(os.environ, FETCHMAILHOME=self.directory,
                   HOME=self.directory, **net.client_env())
        if realm:
            env.update(realm.env)
            env["KRB5CCNAME"] = ccache or realm.empty_ccache()
        began = time.monotonic()
        done = subprocess.run(self.words, env=env, text=True, check=False,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT,
                              timeout=seconds * tap.SLOW)
        self.took = time.monotonic() - began
        self.output = done.stdout
        return done.returncode

    def got(self):
        messages = []
        for name in sorted(os.listdir(self.directory)):
            if name.startswith("got."):
                with open(os.path.join(self.directory, name), "rb") as file:
                    messages.append(file.read())
        return messages
