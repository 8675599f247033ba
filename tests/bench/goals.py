#!/usr/bin/env python3
# goals.py [--docs] [ROW...] - measures kpopd against its goals: each row in
# turns with a bare responder or the libraries alone and with Dovecot, of which
# the medians are compared.  Without ROW all of them; --list names them.
#
# SPDX-License-Identifier: MIT
import argparse
import statistics
import sys

import rows
from figures import tap
from sides import World

ROUNDS = 5
REFERENCE_MS = 0.035  # of the bare responder, where the goals were set


class Row:
    """One goal.  measure gives {what: function}; ours is judged, by limit
    itself or by the ratio to against.  Absolute times and rates scale with
    the bare responder's."""

    def __init__(self, name, title, unit, measure, limit, against=None,
                 scale=0, ours="kpopd"):
        self.name, self.title, self.unit = name, title, unit
        self.measure, self.limit, self.against = measure, limit, against
        self.scale, self.ours = scale, ours

    def run(self, world):
        functions = self.measure(world)
        found = {what: [] for what in functions}
        for _ in range(ROUNDS):
            for what, function in functions.items():
                found[what].append(function())
        self.found = found
        return self

    def median(self, what):
        return statistics.median(self.found[what])

    def judge(self, factor):
        """(limit, figure, met)."""
        figure = self.median(self.ours)
        if self.against:
            figure /= self.median(self.against)
        limit = abs(self.limit) * factor ** self.scale
        return limit, figure, (figure <= limit if self.limit > 0
                               else figure >= limit)


ROWS = [
    Row("pass", "USER/PASS login + QUIT", "ms", rows.password, 0.12, scale=1),
    Row("kpop", "KPOP login + STAT + QUIT", "ms", rows.kpop, 3,
        against="library"),
    Row("gssapi", "GSSAPI login + QUIT", "ms", rows.gssapi, 0.25, scale=1),
    Row("workers", "GSSAPI, two workers against one", "ms", rows.workers, 1.1,
        against="kpopd-1"),
    Row("stls", "STLS + PLAIN + QUIT", "ms", rows.stls, 0.33, scale=1),
]


def spread(values):
    return (f"{statistics.median(values):.4g} "
            f"({min(values):.4g}-{max(values):.4g})")


def show(row, factor):
    limit, figure, met = row.judge(factor)
    print(f"\n{row.name}: {row.title}, {row.unit}")
    for what, values in row.found.items():
        print(f"  {what:26} {spread(values)}")
    print(f"  goal {limit:.4g}, measured {figure:.4g}: "
          f"{'met' if met else 'MISSED'}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("rows", nargs="*")
    words = parser.parse_args()
    if words.list:
        for row in ROWS:
            print(f"{row.name:12} {row.title}")
        return
    wanted = [row for row in ROWS if not words.rows or row.name in words.rows]
    if len(wanted) < len(words.rows):
        sys.exit("no such row; --list names them")
    with World() as world:
        bare = Row("bare", "", "ms", lambda w: rows.logins(w, ("bare",)), 1)
        factor = bare.run(world).median("bare") / REFERENCE_MS
        print(f"bare responder: {spread(bare.found['bare'])} ms, "
              f"{factor:.2f} of the reference", flush=True)
        for row in wanted:
            show(row.run(world), factor)


if __name__ == "__main__":
    main()
