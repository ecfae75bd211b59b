"""A copy of this host to install packages in: its own files over the host's
(overlayfs), processes and network of its own, and nothing of it stays.

Not for what systemd does: a box has no booted system. That is tests/boot.
"""

import itertools
import os
import stat
import subprocess
from pathlib import Path

from hosting.wait import wait_for

# As PID 1 of the box: mounts, says so, and ends with whoever holds its input.
# What a host of an ordinary person has of us already is not there, and starts
# of services are not forbidden, as they are on a machine that builds things.
INIT = r"""
set -eu
mount -t tmpfs -o mode=755 amy-box "$1"
mkdir -m 755 "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" amy-box "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
ip link set lo up
chroot . sh -eu <<'END'
rm -rf /webapps /etc/amy /var/lib/amy /usr/sbin/policy-rc.d /var/lib/man-db/auto-update
for user in amy amy-demo; do
    ! getent passwd "$user" >/dev/null || userdel "$user"
done
for group in amy amy-demo amy-admin; do
    ! getent group "$group" >/dev/null || groupdel "$group"
done
END
echo ready
exec cat
"""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


class Box:
    def __init__(self, directory):
        self.directory = directory
        self._counter = itertools.count(1)
        self._init = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
             "bash", "-c", INIT, "init", directory],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        if self._init.stdout.readline() != "ready\n":
            raise AssertionError("no box: see what unshare and mount said")
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text()
        self._pid = int(children.split()[0])
        self.root = Path(f"/proc/{self._pid}/root{directory}/root")
        self.upper = self.root.parent / "upper"

    def close(self):
        self._init.stdin.close()
        self._init.wait(30)

    def _argv(self, argv):
        return ["nsenter", f"--target={self._pid}", "--mount", "--net", "--pid",
                f"--root={self.root}", f"--wd={self.root}", "--", *map(str, argv)]

    def run(self, *argv, check=True, **more):
        """What it prints, both streams in one; with check=False the exit code too."""
        done = subprocess.run(self._argv(argv), env={**ENVIRONMENT, **more}, check=False, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if not check:
            return done.returncode, done.stdout
        assert done.returncode == 0, f"{argv}: exit {done.returncode}:\n{done.stdout}"
        return done.stdout

    def shell(self, script, *argv):
        return self.run("bash", "-euc", script, "sh", *argv)

    def start(self, *argv, user=None):
        """A program that runs on; it ends with the box."""
        log = self.directory.parent / f"{self.directory.name}.{next(self._counter)}.log"
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        with open(log, "wb") as output:
            process = subprocess.Popen(self._argv([*as_user, *argv]), env=ENVIRONMENT,
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        process.log = log
        return process

    # ---- files

    def path(self, name):
        return self.root / name.lstrip("/")

    def write(self, name, text, mode=0o644):
        self.path(name).write_text(text)
        self.path(name).chmod(mode)

    def bring(self, *files):
        """Copies of the host's files in a directory of the box's, by name."""
        directory = f"/tmp/{next(self._counter)}"
        self.path(directory).mkdir()
        for file in files:
            self.path(directory).joinpath(file.name).write_bytes(file.read_bytes())
        return directory

    def changes(self):
        """What differs from the host: path to what a comparison is about."""
        found = {}
        for above, directories, files in os.walk(self.upper):
            for name in [*directories, *files]:
                path = Path(above, name)
                inside = f"/{path.relative_to(self.upper)}"
                mine = signature(path)
                if mine != signature(Path(inside)):
                    found[inside] = mine
        return found

    # ---- packages

    def install(self, *debs):
        return self.run("dpkg", "--force-unsafe-io", "-i",
                        *[f"{self.bring(deb)}/{deb.name}" for deb in debs])

    def remove(self, *packages):
        return self.run("dpkg", "--force-unsafe-io", "--remove", *packages)

    def purge(self, *packages):
        return self.run("dpkg", "--force-unsafe-io", "--purge", *packages)

    def version(self, package):
        return self.run("dpkg-query", "--show", "--showformat=${Version}", package)

    # ---- processes

    def pids(self, name):
        """Of the programs of this name, as the box counts them."""
        _, output = self.run("pgrep", "--exact", name, check=False)
        return [int(pid) for pid in output.split()]

    def users_of(self, name):
        _, output = self.run("ps", "-o", "user:32=", "-C", name, check=False)
        return set(output.split())

    def wait_listening(self, port):
        probe = ["bash", "-c", f": </dev/tcp/127.0.0.1/{port}"]
        wait_for(lambda: self.run(*probe, check=False)[0] == 0, 30, f"a listener on {port}")


def signature(path):
    """Kind, mode, owner, bytes; None: not there."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        return None  # overlayfs: taken away
    content = None
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        content = path.read_bytes()
    return stat.filemode(status.st_mode), status.st_uid, status.st_gid, content
