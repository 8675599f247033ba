# tap.py - runs test functions and reports in TAP, as tests/run reads it.
#
# A test is a function whose name says the behaviour; a program ends with
# tap.main(globals()).  KPOP_TEST=word runs only the names that hold it.
#
# SPDX-License-Identifier: MIT
import inspect
import os
import sys
import time
import traceback


class Skip(Exception):
    """Raised by a test that lacks something, with the reason."""


class Failure(Exception):
    """A check did not hold; the text has both values."""


def equal(got, want, what="value"):
    if got != want:
        raise Failure(f"{what}:\n  got  {got!r}\n  want {want!r}")


def contains(text, part, what="text"):
    if part not in text:
        raise Failure(f"{what}:\n  got  {text!r}\n  wanted in it {part!r}")


def lacks(text, part, what="text"):
    if part in text:
        raise Failure(f"{what}:\n  got  {text!r}\n  not wanted in it {part!r}")


def true(condition, what):
    if not condition:
        raise Failure(what)


# A checker makes programs slow, never wrong: deadlines stretch, that's all.
SLOW = {"valgrind": 20, "asan": 3, "tsan": 3, "coverage": 3}.get(
    os.environ.get("KPOP_CHECKER", ""), 1)
PLAIN = os.environ.get("KPOP_CHECKER", "") == ""


def await_(condition, what, seconds=10):
    """Polls until condition() is true and returns what it returned; `what`
    is a text, or a function that makes one when it was in vain."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise Failure(f"waited {seconds * SLOW} s in vain: {text}")
        time.sleep(0.01)


def show(text):
    """A figure for whoever reads the output."""
    print(f"# {text}", flush=True)


def is_test(name, value, module):
    return (inspect.isfunction(value) and value.__module__ == module
            and not name.startswith("_")
            and not inspect.signature(value).parameters
            and getattr(value, "is_test", True))


def helper(function):
    """Marks a function without arguments that is no test."""
    function.is_test = False
    return function


def run(number, name, function):
    try:
        function()
    except Skip as reason:
        print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        return True
    except Exception as problem:  # any end of a test but return is a failure
        text = (str(problem) if isinstance(problem, Failure)
                else traceback.format_exc())
        print(f"not ok {number} - {name}", flush=True)
        for line in text.splitlines():
            print(f"# {line}", flush=True)
        return False
    print(f"ok {number} - {name}", flush=True)
    return True


def main(names, before=None, after=None):
    module = names["__name__"]
    wanted = os.environ.get("KPOP_TEST", "")
    tests = [(n, f) for n, f in names.items()
             if is_test(n, f, module) and wanted in n]
    print(f"1..{len(tests)}", flush=True)
    good = True
    try:
        if before:
            before()
        for number, (name, function) in enumerate(tests, 1):
            good = run(number, name, function) and good
    except Skip as reason:  # of before(): there is nothing to test with
        for number, (name, _) in enumerate(tests, 1):
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
    finally:
        if after:
            after()
    sys.exit(0 if good else 1)
