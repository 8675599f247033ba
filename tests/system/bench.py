#!/usr/bin/env python3
# bench.py - whether the measurements of tests/bench measure what they say: the
# load generator against kpopd and the bare responder, the meter, the verdicts.
# TIME-LIMIT: 180
#
# SPDX-License-Identifier: MIT
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)),
                                "../bench"))

from figures import tap  # noqa: E402 (enters the network)
import goals  # noqa: E402
import meter  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
from sides import LINE, World  # noqa: E402

world = None
SESSIONS = 40
CONNECTIONS = 4


@tap.helper
def before():
    global world
    world = World()


@tap.helper
def after():
    if world is not None:
        world.stop()


def run(side, **options):
    options = {"sessions": SESSIONS, "connections": CONNECTIONS, **options}
    return meter.work(side, **options)


def await_ends(side, mark, count):
    tap.await_(lambda: side.kpopd.log(mark).count("event=session.end ")
               == count, f"{count} sessions have ended")


def logins_in(side, mark):
    return re.findall(r"event=auth\.ok .*mechanism=(\S+)",
                      side.kpopd.log(mark))


def every_way_logs_in_with_every_security():
    side = world.side("kpopd")
    for way, name in (("user", "PLAIN"), ("plain", "PLAIN"), ("apop", "APOP"),
                      ("cram", "CRAM-MD5"), ("gssapi", "GSSAPI"),
                      ("kpop", "KPOP")):
        for security in ("none", "stls", "pop3s"):
            if way == "kpop" and security != "none":
                continue
            mark = side.kpopd.mark()
            found = run(side, way=way, security=security, work="stat")
            tap.equal(found["sessions"], SESSIONS, f"{way}, {security}")
            await_ends(side, mark, SESSIONS)
            tap.equal(logins_in(side, mark), [name] * SESSIONS,
                      f"logins by {way}, {security}")


def every_work_is_done():
    side = world.side("kpopd")
    for work in ("login-quit", "stat", "list", "retr-all", "retr-dele-quit"):
        side.filled.clear()
        side.boxes(3, 4096)
        mark = side.kpopd.mark()
        found = run(side, work=work, users=SESSIONS)
        retrieved = 3 * SESSIONS if "retr" in work else 0
        tap.equal(found["messages"], retrieved, f"messages of {work}")
        await_ends(side, mark, SESSIONS)
        log = side.kpopd.log(mark)
        tap.equal(sum(map(int, re.findall(r" retrieved=(\d+)", log))),
                  retrieved, f"retrieved by {work}")
        tap.equal(sum(map(int, re.findall(r" deleted=(\d+)", log))),
                  retrieved if "dele" in work else 0, f"deleted by {work}")


def octets_of_messages_are_counted_pipelined_or_not():
    side = world.side("bare")
    side.boxes(5, 4096)
    one = len(LINE) + 1
    size = -(-4096 // one) * one
    answer = len(f"+OK {size} octets\r\n") + size + len(".\r\n")
    # So many that answers are cut by the end of the load's buffer.
    for pipeline in (1, 3, 100):
        few, many = (run(side, work="retr-all", pipeline=pipeline,
                         repeat=repeat) for repeat in (1, 21))
        tap.equal(many["messages"] - few["messages"], SESSIONS * 100,
                  f"messages more, {pipeline} at once")
        tap.equal(many["octets"] - few["octets"], SESSIONS * 100 * answer,
                  f"octets of them, {pipeline} at once")


def resumed_handshakes_are_counted():
    side = world.side("bare")
    for resume in (True, False):
        found = run(side, way="plain", security="pop3s", resume=resume,
                    connections=1)
        tap.equal((found["offered"], found["resumed"]),
                  (SESSIONS - 1, SESSIONS - 1) if resume else (0, 0),
                  "handshakes that ask for it, and that get it")


def a_refused_login_ends_the_load_in_failure():
    side = world.side("kpopd")
    load = meter.Load(world.realm, side.port(),
                      **side.options({"password": "wrong", "sessions": 1,
                                      "connections": 1}))
    try:
        load.go().result()
    except tap.Failure:
        pass
    else:
        raise tap.Failure("a load with a wrong password has a result")
    load.process.communicate()
    tap.equal(load.process.returncode, 1, "status of the load")


def logins_at_a_rate_take_their_time():
    found = run(world.side("bare"), rate=200, sessions=100)
    tap.true(found["seconds"] >= 99 / 200, f"{found['seconds']} s")


def idle_sessions_stay_until_they_are_told():
    side = world.side("kpopd")
    side.boxes(1, 4096, user="idle", count=30)
    mark = side.kpopd.mark()
    with rows.hold(side, 0, 30):
        tap.equal(len(logins_in(side, mark)), 30, "sessions that idle")
        tap.lacks(side.kpopd.log(mark), "event=session.end")
    await_ends(side, mark, 30)


def time_of_processes_that_have_ended_counts():
    burn = ("import time\n"
            "while time.process_time() < 0.3:\n"
            "    pass\n")
    with subprocess.Popen(["sh", "-c", '"$0" -c "$1"; echo; read line',
                           sys.executable, burn], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        spent = meter.processor_ms(process.pid)
        process.stdin.write(b"\n")
        process.stdin.close()
    tap.true(spent >= 290, f"{spent} ms of a child that took 300")


def system_calls_of_all_processes_are_counted():
    side = world.side("bare")
    side.boxes(1, 4096)
    with meter.Load(world.realm, side.port(),
                    **side.options({"sessions": SESSIONS})) as load:
        trace = meter.Trace(side.pid, world.folder("strace"))
        load.go().result()
        calls = trace.stop()
    tap.equal(calls["accept4"], SESSIONS, "calls of accept4")
    tap.equal(calls["sendto"], 4 * SESSIONS, "calls of sendto")


# ---- verdicts ----

def row_of(limit, found, **more):
    row = goals.Row("row", "A row", "ms", None, limit, **more)
    row.found = found
    return row


def goals_are_met_by_what_is_better_alone():
    for limit, least, good, bad in ((10, False, 10, 10.1),
                                    (10, True, 10, 9.9)):
        for figure, met in ((good, True), (bad, False)):
            row = row_of(limit, {"kpopd": [figure] * 5}, least=least)
            tap.equal(row.met(1), met, f"{figure} of {limit}, {least}")
    row = row_of(3, {"kpopd": [1, 9, 9], "library": [3, 3, 3]},
                 against="library")
    tap.true(row.met(1), "9 is three times 3")
    row.found["kpopd"] = [9.1] * 3
    tap.true(not row.met(1), "9.1 is more")


def goals_scale_with_the_bare_responder():
    tap.true(row_of(10, {"kpopd": [19]}, scale=1).met(2), "twice the time")
    tap.true(not row_of(10, {"kpopd": [21]}, scale=1).met(2), "more than it")
    tap.true(row_of(10, {"kpopd": [5]}, scale=-1, least=True).met(2),
             "half the rate")
    tap.true(not row_of(10, {"kpopd": [19]}).met(2), "what does not scale")


def points_lie_as_far_from_the_goal_as_figures_do():
    row = {"goal": 10, "against": None, "least": False}
    tap.equal(report.relative(row, 20), 2, "twice the time")
    tap.equal(report.relative(dict(row, least=True), 20), 0.5,
              "twice the rate")
    row = {"goal": 3, "against": "library", "least": False,
           "figures": {"library": {"median": 5}}}
    tap.equal(report.relative(row, 30), 2, "six times the library's")


def results_are_published_as_json_table_and_plot():
    found = report.results(
        [row_of(10, {"kpopd": [20, 21, 22], "bare": [1, 2, 3],
                     "Dovecot": [42, 42, 42]}),
         row_of(None, {"kpopd": [1]})], 1, {})
    with tempfile.TemporaryDirectory() as folder:
        report.publish(found, folder)
        with open(os.path.join(folder, "figures.json"),
                  encoding="utf-8") as file:
            row = json.load(file)["rows"][0]
        tap.equal((row["measured"], row["met"], row["ratio_to_bound"],
                   row["ratio_to_dovecot"]), (21, False, 10.5, 0.5), "JSON")
        with open(os.path.join(folder, "figures.md"),
                  encoding="utf-8") as file:
            tap.contains(file.read(), "| A row | ≤ 10.0 ms | 21.0 ms (20.0 "
                         "to 22.0) | 2.00 (bare; 10.5 x) | 42.0 (0.500 x) | "
                         "missed |")
        plot = xml.etree.ElementTree.parse(os.path.join(folder,
                                                        "figures.svg"))
        circles = plot.findall(".//{http://www.w3.org/2000/svg}circle")
        tap.equal(len(circles), 3 + 3, "points, and those of the legend")


if __name__ == "__main__":
    tap.main(globals(), before, after)
