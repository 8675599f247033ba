# meter.py - what a server costs: processor time, memory and system calls of a
# process and all below it, and the program that gives it work.
#
# SPDX-License-Identifier: MIT
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import time

from figures import tap

from harness import net
from harness.server import memory

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
QUIET_MS = 0.2  # so little in a step of a waiting loop is nothing


def program(name):
    return os.path.join(net.BUILD, "tests/bench", name)


# ---- processes ----

def _stats():
    """{pid: (parent, ticks of children that have ended)}."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        found[int(path.split("/")[2])] = (
            int(fields[1]), int(fields[13]) + int(fields[14]))
    return found


def _below(pid, stats):
    return [pid] + [process for child, (parent, _) in stats.items()
                    if parent == pid for process in _below(child, stats)]


def tree(pid):
    """It and all processes below it."""
    return _below(pid, _stats())


def _own_ms(pid):
    """To the nanosecond, threads that have ended too: what
    clock_getcpuclockid(3) makes of a pid."""
    try:
        return time.clock_gettime(~pid << 3 | 2) * 1000
    except OSError:
        return 0.0  # it has ended; its parent has the ticks


def processor_ms(pid):
    stats = _stats()
    return sum(_own_ms(process) + stats[process][1] * TICK_MS
               for process in _below(pid, stats))


def settled_ms(pid):
    """The same, once what the last session left behind is done."""
    last = [processor_ms(pid)]

    def is_quiet():
        last.append(processor_ms(pid))
        return last[-1] - last[-2] < QUIET_MS

    tap.await_(is_quiet, "the server is quiet", 30)
    return last[-1]


def pss(pid):
    return sum(memory(process) for process in tree(pid))


# ---- work ----

class Load:
    """tests/bench/load: ready when made, runs when told to."""

    def __init__(self, realm, port, **options):
        words = [program("load"), f"address={net.address()}", f"port={port}"]
        words += [f"{key}={value}" for key, value in options.items()]
        self.process = subprocess.Popen(
            words, env=dict(os.environ, **realm.env), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._await("ready")

    def _await(self, word):
        line = self.process.stdout.readline()
        tap.equal(line.strip(), word, "what the load says")

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self

    def held(self):
        """Until all sessions are logged in and idle."""
        self._await("held")
        return self

    def result(self):
        text = self.process.stdout.readline()
        tap.true(text, "the load came to its end")
        return json.loads(text)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.stdout.close()
        tap.equal(self.process.wait(), 0, "status of the load")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
            self.process.wait()
            return
        self.close()


def work(side, **options):
    """What the load found, with cpu_ms of the server in it."""
    with Load(side.realm, side.port(**options), **side.options(options)) as load:
        before = settled_ms(side.pid)
        found = load.go().result()
        found["cpu_ms"] = settled_ms(side.pid) - before
    return found


def bound(realm, *words, **env):
    """What tests/bench/bounds prints."""
    done = subprocess.run([program("bounds"), *map(str, words)], text=True,
                          check=True, stdout=subprocess.PIPE,
                          env=dict(os.environ, **realm.env, **env))
    return float(done.stdout)


# ---- system calls ----

class Trace:
    """strace -c over the processes of a tree; calls is {name: count}."""

    def __init__(self, pid, path):
        if shutil.which("strace") is None:
            raise tap.Skip("strace is not installed")
        self.path = path
        pids = tree(pid)
        words = ["strace", "-f", "-c", "-o", path]
        for process in pids:
            words += ["-p", str(process)]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE,
                                        text=True)
        for _ in pids:
            line = self.process.stderr.readline()
            tap.contains(line, "attached", "strace")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()
        calls = {}
        with open(self.path, encoding="ascii") as file:
            for line in file:
                row = re.match(r" *[0-9.]+ +[0-9.]+ +\d+ +(\d+) +(?:\d+ +)?"
                               r"(\w+)$", line)
                if row and row.group(2) != "total":
                    calls[row.group(2)] = int(row.group(1))
        return calls
