#!/usr/bin/env python3
# goals.py [--docs] [--list] [ROW...] - measures kpopd against its goals: each
# row in turns with a bare responder or the libraries alone and with Dovecot,
# of which the medians are compared.  Without ROW all of them.
#
# SPDX-License-Identifier: MIT
import argparse
import os
import statistics
import sys

import report
import rows
import rows_mail
from figures import tap
from sides import World

from harness import net

ROUNDS = 5
REFERENCE_MS = 0.035  # of the bare responder, where the goals were set


class Row:
    """One goal: kpopd's median, or its ratio to that of `against`, is at most
    `limit`; at least it when `least` is set; None: there is no goal.  Times
    scale with the bare responder's (scale=1), rates against it (-1)."""

    def __init__(self, name, title, unit, measure, limit=None, against=None,
                 scale=0, least=False):
        self.name, self.title, self.unit = name, title, unit
        self.measure, self.limit, self.against = measure, limit, against
        self.scale, self.least = scale, least
        self.found = {}

    def run(self, world):
        functions = self.measure(world)
        for _ in range(ROUNDS):
            for what, function in functions.items():
                figure = function()
                if not isinstance(figure, dict):
                    figure = {what: figure}
                for name, value in figure.items():
                    self.found.setdefault(name, []).append(value)
        return self

    def median(self, what):
        """None when that was not measured."""
        return (statistics.median(self.found[what]) if what in self.found
                else None)

    def ratio(self, what):
        ours, other = self.median("kpopd"), self.median(what)
        return ours / other if other else None

    def goal(self, factor):
        return (None if self.limit is None
                else self.limit * factor ** self.scale)

    def figure(self):
        """What the goal is about."""
        return (self.ratio(self.against) if self.against
                else self.median("kpopd"))

    def met(self, factor):
        if self.limit is None:
            return None
        return (self.figure() >= self.goal(factor) if self.least
                else self.figure() <= self.goal(factor))


ROWS = [
    Row("kpop", "KPOP login + STAT + QUIT", "ms", rows.kpop, 3,
        against="library"),
    Row("pass", "USER/PASS login + QUIT", "ms", rows.password, 0.12, scale=1),
    Row("gssapi", "GSSAPI login + QUIT", "ms", rows.gssapi, 0.25, scale=1),
    Row("workers", "GSSAPI, two workers against one", "ms", rows.workers, 1.1,
        against="kpopd-1"),
    Row("stls", "STLS (P-256) + PLAIN + QUIT", "ms", rows.stls, 0.33,
        scale=1),
    Row("resumption", "TLS resumed, over all workers", "%", rows.resumption,
        100, least=True),
    Row("stat-warm", f"STAT session on {rows_mail.MANY} messages, warm", "ms",
        rows_mail.stat_warm, 1, scale=1),
    Row("stat-cold", f"STAT session on {rows_mail.MANY} messages, cold", "ms",
        rows_mail.stat_cold, 100, scale=1),
    Row("retr-large", "RETR 5 MB x 16", "MB/s", rows_mail.large, 0.5,
        against="bare", least=True),
    Row("retr-large-tls", "RETR 5 MB x 16, TLS", "MB/s", rows_mail.large_tls,
        1000, scale=-1, least=True),
    Row("retr-small", "RETR 4 kB x 16", "messages/s", rows_mail.small, 70000,
        scale=-1, least=True),
    Row("retr-one", "RETR 4 kB, one ordinary client, by the clock", "ms",
        rows_mail.one_client, 0.1, scale=1),
    Row("idle", "idle logged-in session, 10 messages", "kB PSS", rows.idle,
        8),
    Row("idle-tls", "idle logged-in session, TLS", "kB PSS", rows.idle_tls,
        24),
    Row("calls", "system calls, USER/PASS login + QUIT", "calls", rows.calls,
        50),
    Row("crowd", f"p99 of {rows.RATE} logins/s beside {rows.CROWD} idle",
        "ms", rows.crowd, 3, against="alone"),
    Row("apop", "APOP login + QUIT", "ms", rows.other("apop")),
    Row("cram", "CRAM-MD5 login + QUIT", "ms", rows.other("cram")),
    Row("list", "USER/PASS login + STAT + LIST + UIDL + QUIT", "ms",
        rows.listing),
    Row("dele", "RETR and DELE of a 4 kB message", "ms", rows_mail.emptying),
]


def choose(names):
    known = {row.name: row for row in ROWS}
    wrong = [name for name in names if name not in known]
    if wrong:
        sys.exit(f"{wrong[0]} is no row: {' '.join(known)}")
    return [known[name] for name in names] or ROWS


def was_measured(row, world, factor):
    """False, and the others go on."""
    try:
        report.show(row.run(world), factor)
    except (tap.Failure, tap.Skip) as problem:
        print(f"\n{row.name}: not measured: {problem}", flush=True)
        return False
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("rows", nargs="*")
    words = parser.parse_args()
    wanted = choose(words.rows)
    if words.list:
        for row in wanted:
            print(f"{row.name:15} {row.title}")
        return
    with World() as world:
        bare = Row("bare", "", "ms", rows.bare).run(world)
        factor = bare.median("bare") / REFERENCE_MS
        print(f"bare responder: {report.spread(bare.found['bare'])} ms a "
              f"session, {factor:.2f} times the reference", flush=True)
        measured = [row for row in wanted if was_measured(row, world, factor)]
    results = report.results(measured, factor, rows.notes)
    print(report.markdown(results))
    report.save(results, net.BUILD)
    if words.docs:
        report.publish(results, os.path.join(net.ROOT, "docs/performance"))
    sys.exit(measured != wanted)


if __name__ == "__main__":
    main()
