"""What the tests of upgrades share: a place where releases are installed over
each other as a package does it, and daemons that are started from there."""

import os
import re
import signal
from collections import Counter
from pathlib import Path

from hosting.host import binaries
from hosting.wait import wait_for

SOON_S = 60
OLD, NEW = b"0.1.0", b"0.1.1"
DAEMONS = ("amy-front", "amy-workers", "amy-backup")


class Installed:
    """Programs and their library beneath one directory. A release differs from
    another one by its version alone, which the library tells."""

    def __init__(self, root, version=OLD):
        self.source = binaries()
        self.bin = root / "installed/bin"
        self.lib = root / "installed/lib"
        for directory in (self.bin, self.lib):
            directory.mkdir(parents=True)
        self.install(version)

    def library(self):
        """Of a build, or of a copy that others may enter."""
        return next(path for directory in ("libamy", "lib")
                    for path in (self.source.parent / directory).glob("libamy.so.?.?"))

    def put(self, path, data, mode=0o755):
        """As dpkg does: whoever runs the old one has it still."""
        new = path.with_name(path.name + ".dpkg-new")
        new.write_bytes(data)
        new.chmod(mode)
        new.rename(path)

    def install(self, version):
        data = self.library().read_bytes()
        assert data.count(OLD + b"\0") == 1 and len(version) == len(OLD)
        self.put(self.lib / self.library().name, data.replace(OLD + b"\0", version + b"\0"))
        for name in DAEMONS:
            self.put(self.bin / name, (self.source / name).read_bytes())

    def break_program(self, name, data, mode=0o755):
        self.put(self.bin / name, data, mode)

    def use_for(self, host):
        """Daemons of this host come from here."""
        plain = host.daemon

        def daemon(name, *arguments, **variables):
            original = os.environ.get("AMY_BIN")
            os.environ["AMY_BIN"] = str(self.bin)
            try:
                return plain(name, *arguments, LD_LIBRARY_PATH=str(self.lib), **variables)
            finally:
                if original is None:
                    del os.environ["AMY_BIN"]
                else:
                    os.environ["AMY_BIN"] = original

        host.daemon = daemon
        return self


def upgrade_of(host, daemon):
    report = host.daemon_status(daemon)
    return report and report["upgrade"]


def upgrade(host, child, daemon):
    """SIGUSR2, and wait for the outcome: the status of the upgrade then."""
    before = upgrade_of(host, daemon)
    child.send(signal.SIGUSR2)

    def over():
        now = upgrade_of(host, daemon)
        return now if now and not now["under_way"] and now["at_ms"] != before["at_ms"] else None

    return wait_for(over, SOON_S, f"{daemon} goes on as another program, or refuses")


def open_files(pid):
    """What /proc says is open, one line each."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass
    return found


def children(pid):
    return [int(child) for child in
            Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def zombies(pid):
    return [child for child in children(pid)
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"]


def held(pid):
    """How many descriptors of each kind; sockets and files have numbers."""
    return Counter(re.sub(r"[0-9]+", "N", line) for line in open_files(pid))


def expect_nothing_leaked(child, before):
    def more():
        return {kind: count for kind, count in (held(child.pid) - before).items() if kind != "socket:[N]"}

    wait_for(lambda: not more() and not zombies(child.pid)
             and sum(held(child.pid).values()) <= sum(before.values()), SOON_S,
             f"no descriptor, no zombie is left: {more()}")
