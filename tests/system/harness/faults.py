# faults.py - which calls a running program makes, and one of them fails: the
# test's side of tests/lib/preload_turn.h.
#
# SPDX-License-Identifier: MIT
import collections
import mmap
import os
import struct

from harness import net, tap

LIBRARY = os.path.join(net.BUILD, "tests/lib/preload_faults.so")
MEMORY = ("malloc", "calloc", "realloc", "reallocarray", "strdup", "strndup",
          "asprintf")
ROOM = 1 << 17

# struct turn and struct site
_HEAD = struct.Struct("=QQQQQ")
_SITE = struct.Struct("=Q24s")

# A call, with who made it and who made them do so.
Call = collections.namedtuple("Call", "stack name")


class Faults:
    """Programs with env listen here; it must be there before them."""

    def __init__(self, path):
        if os.environ.get("KPOP_CHECKER") in ("asan", "tsan", "valgrind"):
            raise tap.Skip("the checker has an allocator of its own")
        size = _HEAD.size + ROOM * _SITE.size
        with open(path, "wb") as file:
            file.truncate(size)
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), size)
        more = os.environ.get("LD_PRELOAD", "")
        self.env = {"LD_PRELOAD": f"{LIBRARY} {more}".strip(),
                    "KPOP_TEST_FAULTS": path}
        self.heal()

    def _set(self, armed, stack, listing):
        _HEAD.pack_into(self.memory, 0, 0, stack, listing, 0, ROOM)
        # Last, because processes look at any time.
        struct.pack_into("=Q", self.memory, 0, armed)

    def heal(self):
        self._set(0, 0, 0)

    def arm(self, call):
        self._set(1, call.stack, 0)

    def has_failed(self):
        return _HEAD.unpack_from(self.memory, 0)[0] == 0

    def calls(self, action):
        """Those that the programs make during action(), each once, in their
        order."""
        self._set(0, 0, 1)
        action()
        count = _HEAD.unpack_from(self.memory, 0)[3]
        self._set(0, 0, 0)
        tap.true(count <= ROOM, f"{count} calls fit into the list")
        found = {}
        for i in range(count):
            stack, name = _SITE.unpack_from(self.memory,
                                            _HEAD.size + i * _SITE.size)
            name = name.partition(b"\0")[0].decode()
            found.setdefault(stack, Call(stack, name))
        return list(found.values())
