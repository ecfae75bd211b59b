"""What the tests do with machines: packages, the example site, visitors."""

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from hosting import walk
from hosting.debian import run
from hosting.packages import raised
from hosting.rawhttp import Broken
from hosting.services import Postgres
from hosting.site import TOP, Site
from hosting.users import User
from hosting.wait import wait_for

DOMAIN, USER = "example.org", "amy-example"
SERVICES = ("postgresql", "redis-server", "certbot", "python3-venv", "git")
WEB = "web"  # the pool that visitors reach
UNITS = ("amy-front", "amy-workers", "amy-backup")
CHECKOUT, WHEELS = "/srv/checkout", "/srv/wheels"
SERVES_S = 60
SOURCES = ("CMakeLists.txt", "CMakePresets.json", "bindings", "daemons", "docs", "examples",
           "include", "libamy", "packaging", "pkgconfig", "README.md")


# ---- packages


@dataclass
class Packages:
    """What `apt install ./amy*.deb` names, as two versions."""

    this: list
    next: list

    @classmethod
    def build(cls):
        """Again only after a change to what they are made of; AMY_PACKAGES is a
        directory with some from elsewhere."""
        base = TOP / "build/boot"
        made = Path(os.environ.get("AMY_PACKAGES") or base / "this")
        base.mkdir(parents=True, exist_ok=True)
        with open(base / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if made == base / "this":
                build_packages(made)
            shutil.rmtree(base / "next", ignore_errors=True)
            (base / "next").mkdir()
            for deb in packages_in(made):
                raised(deb, base / "next")
            # With the names that packaging/build gives them.
            for deb in (base / "next").glob("libamy*.deb"):
                deb.rename(deb.with_name(f"amy-needs-{deb.name}"))
            return cls(packages_in(made), packages_in(base / "next"))

    @staticmethod
    def put(machine, debs):
        """Copies into /root there; their paths."""
        for deb in debs:
            shutil.copyfile(deb, machine.root / "root" / deb.name)
        return [f"./{deb.name}" for deb in debs]


def state_of_sources():
    names = subprocess.run(["git", "-c", f"safe.directory={TOP}", "ls-files", "-co", "--exclude-standard",
                            "-z", "--", *SOURCES],
                           cwd=TOP, stdout=subprocess.PIPE, check=True).stdout.split(b"\0")
    digest = hashlib.sha256()
    for name in sorted(filter(None, names)):
        path = TOP / os.fsdecode(name)
        digest.update(name + b"\0")
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def build_packages(directory):
    stamp = directory / "key"
    key = state_of_sources()
    if not stamp.exists() or stamp.read_text() != key:
        shutil.rmtree(directory, ignore_errors=True)
        run([TOP / "packaging/build", directory])
        stamp.write_text(key)


def packages_in(directory):
    return sorted(directory.glob("amy*.deb"))


def install(machine, *packages):
    """As a person does who is asked nothing."""
    machine.run("apt-get update -q")
    return machine.run(f"cd /root && DEBIAN_FRONTEND=noninteractive apt-get install -q -y "
                       f"--allow-downgrades {shlex.join(packages)}", timeout_s=600).stdout


# ---- the example site


def lay_out(machine, webroot=f"/webapps/{DOMAIN}/acme", reload=True):
    """The example site with a certificate of certbot's, known to the daemons."""
    machine.run(f"AMY_WHEELS={WHEELS} python3 -B {CHECKOUT}/tests/boot/lay_out.py {DOMAIN} {USER}")
    if reload:
        # That of the front fails and says why: there is no certificate yet.
        machine.run("systemctl reload amy-workers amy-backup")
        machine.run("systemctl reload amy-front", check=False)
    machine.run(f"certbot certonly -n --agree-tos -m you@{DOMAIN} --webroot -w {webroot} -d {DOMAIN}")


def pids_of(server, pattern):
    """Processes by their command lines."""
    return server.run(f"pgrep -f {shlex.quote(pattern)}", check=False).stdout.split()


class Server:
    """A machine with the example site, as those see it who visit it and who run
    it. It stands where the walk of the demo has its host and its database."""

    DATABASE = Postgres.DATABASE
    http, https = 80, 443

    def __init__(self, machine):
        self.machine = machine
        self.internet = machine.internet
        self.run, self.journal = machine.run, machine.journal

    # ---- who runs it

    def amyctl(self, *arguments, check=True):
        return self.run(f"amyctl {shlex.join(map(str, arguments))}", check=check)

    def status(self):
        return json.loads(self.amyctl("status", "--json").stdout)

    def backup_is_ready(self):
        """It has looked at the backups of every site."""
        told = self.run("curl -sS --unix-socket /run/amy/backup.sock http://control/v1/status", check=False)
        return told.returncode == 0 and all(site.get("backup", {}).get("known", True)
                                            for site in json.loads(told.stdout)["sites"])

    def kill(self, pid):
        self.run(f"kill -KILL {pid}")

    def reread(self):
        self.run("systemctl reload amy-front")

    def query(self, sql, database=DATABASE):
        """As the site's user."""
        return self.run(f"cd / && psql -X -At -v ON_ERROR_STOP=1 -d {database} "
                        f"-c {shlex.quote(sql)}", user=USER).stdout.strip()

    def stage(self):
        """For the steps of the walk."""
        entry = self.run(f"id -u {USER}; id -g {USER}").stdout.split()
        site = Site(self.machine.root / "webapps", DOMAIN, User(USER, *map(int, entry)))
        return walk.Stage(self, site, self, None)

    def put(self, debs):
        return Packages.put(self.machine, debs)

    # ---- who visits it

    def connect(self, domain=DOMAIN, tls=True):
        return self.internet.connect(domain, tls)

    def get(self, domain=DOMAIN, path="/", **options):
        return self.internet.get(domain, path, **options)

    def url(self, domain, path="/"):
        return f"https://{domain}{path}"

    def serves(self):
        """A page that took PostgreSQL and Redis, from a worker."""
        try:
            return self.get(path="/healthz").status == 200 and self.get().status == 200
        except Broken:
            return False

    def wait_until_it_serves(self):
        """Without a hand; how long it took."""
        began = time.monotonic()
        wait_for(self.serves, SERVES_S, "the site serves")
        return time.monotonic() - began

    def wait_until_whole(self):
        """Every worker of every pool is ready."""
        stage = self.stage()
        wait_for(lambda: walk.is_whole(stage), SERVES_S, "all workers are ready")
