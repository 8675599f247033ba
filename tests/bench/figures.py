# figures.py - what the benchmarks share: the harness of the system tests, a
# server with users, and rows of figures.
#
# SPDX-License-Identifier: MIT
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)),
                                "../system"))

from harness import net, tap  # noqa: E402

net.enter()

from harness.maildir import Maildir  # noqa: E402 (inside the network)
from harness.realm import ApReq, Realm  # noqa: E402
from harness.server import Kpopd, passwords  # noqa: E402
from harness.wire import SENDAUTH, VERSIONS, Kpop, Pop3, frame  # noqa: E402

__all__ = ["ApReq", "Kpop", "Kpopd", "Maildir", "Pop3", "Realm", "SENDAUTH",
           "Site", "VERSIONS", "frame", "passwords", "rate", "row", "tap"]


class Site:
    """A realm and a kpopd for the users named."""

    def __init__(self, *users, **keys):
        self.scratch = tempfile.TemporaryDirectory(prefix="kpop-bench-")
        os.chmod(self.scratch.name, 0o711)
        net.prepare(self.scratch.name)
        self.realm = Realm(os.path.join(self.scratch.name, "realm"))
        directory = os.path.join(self.scratch.name, "kpopd")
        keys.setdefault("log_level", "info")
        self.kpopd = Kpopd(
            directory, self.realm, start=False, plaintext="always",
            listen_pop3=f"{net.address()}:0",
            passwords="file:" + passwords(directory, *users), **keys)
        self.boxes = {user: Maildir(self.kpopd, user) for user in users}
        self.kpopd.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kpopd.stop()
        self.realm.stop()
        self.scratch.cleanup()


def row(name, milliseconds):
    """min, median, 99 of 100 and max."""
    ordered = sorted(milliseconds)
    late = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    print(f"{name}: min {ordered[0]:.2f}, median "
          f"{statistics.median(ordered):.2f}, p99 {late:.2f}, max "
          f"{ordered[-1]:.2f} ms ({len(ordered)} times)", flush=True)


def rate(name, count, seconds, unit):
    print(f"{name}: {count / seconds:.0f} {unit} ({count} in {seconds:.2f} s)",
          flush=True)
