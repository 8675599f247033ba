#!/usr/bin/env python3
# coverage.py - BUILD [FILE...]: what gcov has counted in a build folder, a
# line a source file: lines and branches that were passed, of those there are.
# For each FILE it prints the lines that never were, and those of which a branch
# never was.
#
# SPDX-License-Identifier: MIT
import collections
import glob
import json
import os
import subprocess
import sys

OURS = ("kpop/", "sasl/", "plugin/")
lines = collections.defaultdict(collections.Counter)
branches = collections.defaultdict(collections.Counter)


def take(file):
    name = os.path.relpath(file["file"])
    for line in file["lines"] if name.startswith(OURS) else ():
        number = line["line_number"]
        lines[name][number] += line["count"]
        for i, branch in enumerate(line["branches"]):
            branches[name][number, i] += branch["count"]


def passed(counts):
    return sum(count > 0 for count in counts.values()), len(counts)


def share(some):
    return f"{some[0]}/{some[1]} {100 * some[0] / max(some[1], 1):.1f} %"


def main(build, *wanted):
    for ours in OURS:
        for path in glob.glob(f"{build}/{ours}**/*.gcno", recursive=True):
            text = subprocess.run(
                ["gcov", "--branch-counts", "--branch-probabilities",
                 "--json-format", "--stdout", path], check=True,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            for document in text.splitlines():
                for file in json.loads(document)["files"]:
                    take(file)
    total = [[0, 0], [0, 0]]
    for name in sorted(lines):
        here = passed(lines[name]), passed(branches[name])
        for whole, part in zip(total, here):
            whole[0] += part[0]
            whole[1] += part[1]
        if name.endswith(".c"):
            print(f"{name}: lines {share(here[0])}, branches "
                  f"{share(here[1])}")
    for name in wanted:
        never = {n for n, count in lines[name].items() if count == 0}
        print(f"{name}: never", *sorted(never))
        print(f"{name}: in part", *sorted(
            {n for (n, _), count in branches[name].items() if count == 0}
            - never))
    print(f"lines {share(total[0])}, branches {share(total[1])}")


if __name__ == "__main__":
    main(*sys.argv[1:])
