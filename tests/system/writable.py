"""What a process can write: looked for on the whole system, with the identity that the
kernel says it has."""

import os
import subprocess
from pathlib import Path

from hosting import users
from support import status_of_process


def system_directories():
    """All of "/" but what is the kernel's, and other people's disks and scratch."""
    apart = {"proc", "sys", "dev", "tmp", "srv", "mnt", "media", "lost+found"}
    return [path for path in Path("/").iterdir()
            if path.name not in apart and path.is_dir() and not path.is_symlink()]


def writable_by(identity, directories):
    """Not what is in the directories where everybody has something of their own."""
    skipped = ["/var/tmp/*", "/run/lock/*", "/run/user/*"]
    prune = [word for path in skipped for word in ("-o", "-path", path)][1:]
    done = subprocess.run(
        ["setpriv", *identity, "find", *map(str, directories), "(", *prune, ")", "-prune",
         "-o", "-writable", "!", "-type", "l", "-print0"],
        capture_output=True, check=False, timeout=120, env={"PATH": os.environ["PATH"]}, cwd="/")
    return {os.fsdecode(path) for path in done.stdout.split(b"\0") if path}


def identity_of(pid):
    """What setpriv(1) needs to be as good as that process."""
    status = status_of_process(pid)
    assert int(status["CapEff"], 16) == 0, "it has nothing beyond its ids"
    groups = status["Groups"].replace(" ", ",")
    return (f"--reuid={status['Uid'].split()[1]}", f"--regid={status['Gid'].split()[1]}",
            f"--groups={groups}" if groups else "--clear-groups", "--bounding-set=-all",
            "--no-new-privs")


class Seeker:
    """Looks once for each identity; several kinds of processes share one."""

    def __init__(self, root):
        """`root`: the only directory to look into beyond the system's."""
        nobody = users.User.named("nobody")
        self.root = root
        self.found = {}
        self.by_everybody = writable_by(
            (f"--reuid={nobody.uid}", f"--regid={nobody.gid}", "--clear-groups"),
            system_directories())

    def beyond_everybody(self, pid):
        """What that process can write and not just anybody."""
        identity = identity_of(pid)
        if identity not in self.found:
            self.found[identity] = writable_by(identity, [*system_directories(), self.root])
        return self.found[identity] - self.by_everybody
