"""A Debian 12 that is booted: systemd as PID 1 in a container of nspawn's, with a
network of its own (internet.py). It runs beside whatever this machine is, one
with systemd or one without."""

import itertools
import os
import shlex
import signal
import subprocess
from pathlib import Path

from hosting import debian
from hosting.internet import ADDRESS, LINK, MACHINE
from hosting.process import Child
from hosting.users import clean_environment
from hosting.wait import wait_for

START_S = 120
STOP_S = 180
REBOOT = 133  # how nspawn ends when its machine wants to be started again
NUMBERS = itertools.count(1)

# Where this machine has a systemd, it gives a part of its cgroups away. Else a view
# of them with a root of its own is made, where the machine's systemd may do as it
# likes. All mounts end with the machine.
DELEGATED = ("systemd-run", "--scope", "--quiet", "--property=Delegate=yes", "--", "unshare")
NAMESPACE = ("unshare", "--cgroup")
LAUNCH = """\
set -eu
mount --make-rprivate /
if [ ! -d /run/systemd/system ]; then
    umount --recursive --lazy /sys/fs/cgroup 2>/dev/null || true
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
shift 2
exec systemd-nspawn --boot --register=no --keep-unit --console=read-only \
    --link-journal=no --resolv-conf=off --timezone=off --directory="$@"
"""

INTERFACES = f"""\
auto lo
iface lo inet loopback
auto eth0
iface eth0 inet static
    address {MACHINE}/24
    gateway {ADDRESS}
"""


class Machine:
    """`layers`: directories, the uppermost first; what is written goes to one
    more, `directory`/upper. `shown`: directories of ours by their place there,
    which it may read."""

    def __init__(self, directory, internet, layers, shown=None):
        self.directory = Path(directory)
        self.internet = internet
        self.layers = list(layers)
        self.shown = dict(shown or {})
        self.name = f"amy-{os.getpid()}-{next(NUMBERS)}"
        self.child = None
        self.init = None
        for part in ("upper", "work", "root"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        (self.directory / "upper").chmod(0o755)
        self._connect_to_internet()

    @property
    def upper(self):
        return self.directory / "upper"

    @property
    def root(self):
        """Its files, as they are for it now."""
        return Path(f"/proc/{self.init}/root")

    def _connect_to_internet(self):
        """As whoever rented the machine got it: address, names, authorities."""
        self.write_below("etc/network/interfaces", INTERFACES)
        self.write_below("etc/resolv.conf", f"nameserver {ADDRESS}\n")
        self.write_below("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 server\n"
                                      f"{ADDRESS} {self.internet.pebble.name}\n")
        ours = self.internet.pebble.authority.certificate.read_text()
        bundle = "etc/ssl/certs/ca-certificates.crt"
        self.write_below("usr/local/share/ca-certificates/internet.crt", ours)
        self.write_below(bundle, (self.layers[-1] / bundle).read_text() + ours)
        self.write_below("root/.config/letsencrypt/cli.ini", f"server = {self.internet.pebble.url}\n")

    def write_below(self, path, text):
        """Before it is booted."""
        file = self.upper / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    # ---- on and off

    def boot(self):
        """Until all that starts by itself has started."""
        shown = [f"--bind-ro={source}:{target}" for target, source in self.shown.items()]
        has_systemd = Path("/run/systemd/system").is_dir()
        argv = [*(DELEGATED if has_systemd else NAMESPACE), "--mount", "bash", "-c", LAUNCH, "bash",
                ":".join(map(str, self.layers)), self.directory, self.directory / "root",
                f"--machine={self.name}", f"--network-veth-extra={LINK}:eth0", *shown]
        self.internet.unplug()
        with self.internet.entered():
            self.child = Child(self.name, argv, self.directory / "console.log", death_signal="KILL")
        self.init = wait_for(self._find_init, START_S, "PID 1 of the machine")
        self.internet.plug_in()
        wait_for(self._is_up, START_S, "all units are started")
        return self

    def _still_on(self):
        if self.child.code is not None:
            raise AssertionError(f"nspawn ended with {self.child.code}:\n{self.child.output()[-4000:]}")

    def _find_init(self):
        """nspawn's child that has become systemd, in a network of its own."""
        self._still_on()
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text()
        for pid in map(int, children.split()):
            if (Path(f"/proc/{pid}/comm").read_text() == "systemd\n"
                    and Path(f"/proc/{pid}/root/run/systemd/private").exists()):
                return pid
        return None

    def _is_up(self):
        self._still_on()
        state = self.run("systemctl is-system-running --wait", check=False).stdout.strip()
        return state in {"running", "degraded"}

    def stop(self):
        """As its button does it."""
        self.run("systemctl poweroff --no-block")
        self.child.wait(STOP_S)
        self._off()

    def reboot(self):
        self.run("systemctl reboot --no-block")
        code = self.child.wait(STOP_S)
        assert code == REBOOT, f"nspawn ended with {code}:\n{self.child.output()[-4000:]}"
        self._off()
        return self.boot()

    def keep_upper(self, target):
        """What was written, as a layer for others."""
        debian.run(["cp", "-a", f"{self.upper}/.", target])

    def cut_power(self):
        """Everything in it is gone at once."""
        if self.child is not None:
            if self.init is not None and self.child.code is None:
                os.kill(self.init, signal.SIGKILL)
            self.child.kill()
            self._off()

    def _off(self):
        self.child = self.init = None

    # ---- what a person does there

    def run(self, command, user=None, check=True, timeout_s=300, data=None):
        """A line typed into a shell; `user` None: root."""
        shell = ["bash", "-c", command] if user is None else [
            "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "bash", "-c", command]
        done = subprocess.run(
            ["nsenter", f"--target={self.init}", "--all", "--", *shell], text=True, check=False,
            input=data, stdin=subprocess.DEVNULL if data is None else None, capture_output=True,
            timeout=timeout_s, env=clean_environment(HOME="/root", TERM="dumb", USER="root"),
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def show(self, unit, name):
        """One property of a unit as systemd knows it."""
        return self.run(f"systemctl show --value --property={name} {shlex.quote(unit)}").stdout.strip()

    def main_pid(self, unit):
        """By the numbers of the machine."""
        return int(self.show(unit, "MainPID"))

    def journal(self, *options):
        return self.run(f"journalctl --no-pager -o short-precise {shlex.join(options)}",
                        check=False).stdout
