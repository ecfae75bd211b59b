"""The people of DESIGN.md's section 4 as real uids, and a host with two of them
as sites' users.

root       all of its power, as an administrator has it
master     root as the daemons leave it: bounded to a few capabilities
amy        the front processes' user
owner      the site's user
neighbour  another site's user
operator   a person in group amy-admin
stranger   nobody in particular
"""

import fcntl
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hosting import users
from hosting.host import Host, sanitizer_options
from hosting.site import TEST_BASE
from hosting.users import clean_environment
from support import TINY, TINY_YAML, deploy_tiny

NEIGHBOURS = "neighbour.localhost"
NEIGHBOUR_USER = "amy-neighbour"
OPERATOR_USER = "amy-operator"

# What the masters keep (docs/decisions/0070), amy-backup too; amy-front NET_BIND_SERVICE as well.
CAPABILITIES = {"CHOWN": 0, "DAC_READ_SEARCH": 2, "KILL": 5, "SETGID": 6, "SETUID": 7,
                "SETPCAP": 8, "NET_BIND_SERVICE": 10}
WORKERS_MASTER = {"SETUID", "SETGID", "KILL", "CHOWN", "DAC_READ_SEARCH", "SETPCAP"}
FRONT_MASTER = WORKERS_MASTER | {"NET_BIND_SERVICE"}


@dataclass(frozen=True)
class Person:
    """One column of a table; `options` make setpriv(1) into them."""

    name: str
    options: tuple = ()

    def argv(self, argv):
        argv = list(map(str, argv))
        return ["setpriv", *self.options, "--", *argv] if self.options else argv

    def run(self, argv, **options):
        return subprocess.run(
            self.argv(argv), env=clean_environment(**sanitizer_options()), cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
            **options,
        )


def user(name, of):
    person = users.User.named(of)
    return Person(name, (f"--reuid={person.uid}", f"--regid={person.gid}", "--init-groups"))


def bounded(name, capabilities):
    kept = ",".join(f"+{capability.lower()}" for capability in sorted(capabilities))
    return Person(name, (f"--bounding-set=-all,{kept}",))


def create_users():
    """Once on this machine, whoever comes first."""
    with open(TEST_BASE / "users.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        users.create_missing(users.FRONT_USER, users.SITE_USER, NEIGHBOUR_USER, OPERATOR_USER)
        groups = os.getgrouplist(OPERATOR_USER, users.User.named(OPERATOR_USER).gid)
        if users.group_id(users.ADMIN_GROUP) not in groups:
            subprocess.run(["usermod", "-aG", users.ADMIN_GROUP, OPERATOR_USER], check=True)


def everybody():
    """All columns by name."""
    people = (
        Person("root"), bounded("master", FRONT_MASTER), user("amy", users.FRONT_USER),
        user("owner", users.SITE_USER), user("neighbour", NEIGHBOUR_USER),
        user("operator", OPERATOR_USER), user("stranger", "nobody"),
    )
    return {person.name: person for person in people}


# Besides: a scheduler with its lock, and a program that knows nothing of us and stays a
# worker whose socket is not published.
ALL_KINDS_YAML = """\
site: {domain}
user: {user}
http: serve
health: {{bake: 300ms}}
workers:
  - {{name: web, wsgi: tiny:application, count: 2, timeout: 30s}}
  - {{name: scheduler, command: [python, beat.py], replace: stop-first}}
  - {{name: never, command: [sleep, infinity], boot_timeout: 1h}}
routes:
  - {{path: /, pool: web}}
  - {{path: /never/, pool: never}}
gate: {{except: [/healthz]}}
"""
WHOLE_YAML = "".join(line for line in ALL_KINDS_YAML.splitlines(keepends=True)
                     if "never" not in line)


def deploy_two_sites(root, base_venv, yaml=TINY_YAML):
    """A host with the quick application twice: the owner's by `yaml`, and the
    neighbour's."""
    create_users()
    host = Host(root)
    host.tiny = deploy_tiny(host, TINY, base_venv, yaml)
    owner, host.user = host.user, users.User.named(NEIGHBOUR_USER)
    try:
        host.neighbours = deploy_tiny(host, NEIGHBOURS, base_venv)
    finally:
        host.user = owner
    return host


def one_path(host, pattern):
    """The path of a table's row below the host's root; "*" stands for a name that
    a daemon chose."""
    path = pattern.format(site=TINY)
    if "*" not in path:
        return host.root / path
    found = sorted(Path(host.root).glob(path))
    return found[0] if found else host.root / "nowhere"
