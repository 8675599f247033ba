#!/usr/bin/env python3
# under_unit.py - UNIT COMMAND...: runs a command under the system calls that
# SystemCallFilter of a unit leaves, as systemd would, where no systemd runs.
#
# SPDX-License-Identifier: MIT
import ctypes
import os
import re
import subprocess
import sys

ALLOW = 0x7FFF0000
EPERM = 0x00050001
NO_CALL = -1


def calls(name):
    """A system call, or those of a @set and of the sets in it."""
    if not name.startswith("@"):
        return {name}
    text = subprocess.run(["systemd-analyze", "syscall-filter", name],
                          stdout=subprocess.PIPE, check=True,
                          text=True).stdout
    found = set()
    for word in re.findall(r"^    ([^ #]\S*)$", text, re.M):
        found |= calls(word)
    return found


def left(unit):
    """Lists add up; one that begins with ~ takes away."""
    allowed = calls("@default")
    with open(unit, encoding="ascii") as file:
        for line in re.findall(r"^SystemCallFilter=(.*)$", file.read(), re.M):
            names = set().union(*(calls(w) for w in line.lstrip("~").split()))
            allowed = (allowed - names if line.startswith("~")
                       else allowed | names)
    return allowed


def load(allowed):
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.seccomp_init(EPERM))
    for name in allowed:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number != NO_CALL:
            lib.seccomp_rule_add_array(context, ALLOW, number, 0, None)
    if lib.seccomp_load(context) != 0:
        sys.exit("under_unit.py: the filter can't be loaded")


if __name__ == "__main__":
    load(left(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
