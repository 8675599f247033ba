# maildir.py - maildirs with messages for tests.
#
# SPDX-License-Identifier: MIT
import os
import shutil

from harness import server


class Maildir:
    """The maildir of a user below a Kpopd's mail folder."""

    def __init__(self, kpopd, user):
        self.path = os.path.join(kpopd.mail, user)
        self.made = 0
        for name in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(self.path, name), exist_ok=True)
        server.give(self.path, server.WORKER_USER)

    def deliver(self, text, folder="new", suffix=""):
        """A message of str (LF) or bytes; returns its path."""
        self.made += 1
        name = f"{1000000000 + self.made}.M{self.made}P1.test{suffix}"
        path = os.path.join(self.path, folder, name)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        server.give(path, server.WORKER_USER)
        return path

    def fill(self, count):
        for i in range(count):
            self.deliver(f"From: bob@example.org\nSubject: {i + 1}\n\n"
                         f"This is message {i + 1}.\n")
        return self

    def names(self):
        return sorted(name for folder in ("new", "cur") for name in
                      os.listdir(os.path.join(self.path, folder)))

    def path_of(self, name):
        for folder in ("new", "cur"):
            path = os.path.join(self.path, folder, name)
            if os.path.lexists(path):
                return path
        raise FileNotFoundError(name)

    def rename(self, name, folder, flags):
        """As a client of another kind does: new -> cur, other flags."""
        base = name.split(":")[0]
        os.rename(self.path_of(name),
                  os.path.join(self.path, folder, base + flags))

    def copy(self, name, folder, flags):
        path = os.path.join(self.path, folder, name.split(":")[0] + flags)
        shutil.copy(self.path_of(name), path)
        server.give(path, server.WORKER_USER)

    def remove(self, name):
        os.unlink(self.path_of(name))

    def empty(self):
        """Nothing in it, but names are never used again."""
        for folder in ("new", "cur"):
            for name in os.listdir(os.path.join(self.path, folder)):
                path = os.path.join(self.path, folder, name)
                if os.path.isdir(path) and not os.path.islink(path):
                    os.rmdir(path)
                else:
                    os.unlink(path)
        return self

    def destroy(self):
        shutil.rmtree(self.path)
