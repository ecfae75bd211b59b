"""amyctl by each person: what it may, what it is refused, and in which words."""

import contextlib
import json
import subprocess
import sys

import pytest
from hosting import users, walk
from hosting.users import clean_environment
from hosting.wait import wait_for
from people import NEIGHBOUR_USER, NEIGHBOURS, OPERATOR_USER, Person, deploy_two_sites, everybody
from support import TINY, close_host

pytestmark = pytest.mark.root

SOON_S = 30
COLUMNS = ("root", "operator", "owner", "amy", "neighbour", "stranger")
NAMES = {"owner": users.SITE_USER, "neighbour": NEIGHBOUR_USER, "amy": users.FRONT_USER,
         "stranger": "nobody", "operator": OPERATOR_USER}
SITE_REFUSAL = f"may not do that: root, group amy-admin and the site's user ({users.SITE_USER}) may"
ALL_REFUSAL = "may not do that: root and group amy-admin may"

TABLE = [
    # command                          root   operator owner  amy    neighbour stranger
    (("status",),                      "yes", "yes",   "yes", "yes", "yes",    "yes"),
    (("status", TINY),                 "yes", "yes",   "yes", "yes", "yes",    "yes"),
    (("maintenance", "status", TINY),  "yes", "yes",   "yes", "yes", "yes",    "yes"),
    (("maintenance", "on", TINY),      "yes", "yes",   "yes", "no",  "no",     "no"),
    (("maintenance", "off", TINY),     "yes", "yes",   "yes", "no",  "no",     "no"),
    (("reload", TINY),                 "yes", "yes",   "yes", "no",  "no",     "no"),
    (("restart", TINY, "web"),         "yes", "yes",   "yes", "no",  "no",     "no"),
    (("backup", "list", TINY),         "yes", "yes",   "yes", "no",  "no",     "no"),
    (("backup", "prune", TINY, "--dry-run"), "yes", "yes", "yes", "no", "no",  "no"),
    (("reload",),                      "yes", "yes",   "no",  "no",  "no",     "no"),
]
CELLS = [pytest.param(command, person, verdict == "yes", id=f"{person}-{'-'.join(command)}")
         for command, *row in TABLE for person, verdict in zip(COLUMNS, row, strict=True)]


@pytest.fixture(scope="module")
def host(session_root, counter, django_venv):
    host = deploy_two_sites(session_root / f"h{next(counter)}", django_venv)
    try:
        host.start_workers()
        host.start_front()
        host.start_backup()
        yield host
    finally:
        close_host(host)


def amyctl(host, person, *command):
    return everybody()[person].run(host.amyctl_argv(*command))


def settled(host):
    """What a command changes, once all of it is done: gate, workers, bundle."""
    def look():
        status = host.status()
        workers = walk.workers_of(status, TINY, "web")
        site = walk.site_parts(status, TINY)
        quiet = (len(workers) == 2 and all(worker["state"] == "ready" for worker in workers)
                 and not any(pool["draining"] for pool in site["pools"]))
        return quiet and {
            "gate": site["gate"]["state"], "pids": {worker["pid"] for worker in workers},
            "bundles": [front["bundle"] for front in walk.merged(status, "processes")]}
    return wait_for(look, SOON_S, "nothing is under way")


@pytest.mark.parametrize(("command", "person", "allowed"), CELLS)
def test_cell(host, command, person, allowed):
    before = settled(host)
    done = amyctl(host, person, *command)
    if allowed:
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert done.stdout
        return
    refusal = f"{NAMES[person]} {SITE_REFUSAL if TINY in command else ALL_REFUSAL}"
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines(), "it says why"
    for line in done.stderr.splitlines():
        assert line.startswith("amyctl: ") and line.endswith(refusal), line
    assert settled(host) == before, "what was refused changed nothing"


def test_each_owner_has_their_own_site_only(host):
    for person, own, foreign in (("owner", TINY, NEIGHBOURS), ("neighbour", NEIGHBOURS, TINY)):
        for word in ("on", "off"):
            assert amyctl(host, person, "maintenance", word, own).returncode == 0
            assert amyctl(host, person, "maintenance", word, foreign).returncode == 1
        assert amyctl(host, person, "reload", own).returncode == 0


def test_who_runs_with_the_admin_group_is_an_admin(host):
    """By newgrp(1) or sudo -g, not only by the list of members."""
    nobody = users.User.named("nobody")
    person = Person("by group", (f"--reuid={nobody.uid}", "--clear-groups",
                                 f"--regid={users.group_id(users.ADMIN_GROUP)}"))
    assert person.run(host.amyctl_argv("maintenance", "on", TINY)).returncode == 0
    assert person.run(host.amyctl_argv("maintenance", "off", TINY)).returncode == 0


@pytest.mark.parametrize("person", COLUMNS)
def test_unknown_sites_and_commands(host, person):
    """The same words for all: nothing is learned from them."""
    done = amyctl(host, person, "maintenance", "on", "no.such.site")
    assert done.returncode == 1 and "no.such.site" in done.stderr
    done = amyctl(host, person, "reload", "no.such.site")
    assert done.returncode == 1 and "no.such.site" in done.stderr
    assert amyctl(host, person, "obey").returncode == 2
    assert amyctl(host, person, "maintenance", "on").returncode == 2


# ---- a stranger who is not here to ask

HOLD = """
import os, resource, socket, sys
count, sockets = int(sys.argv[1]), sys.argv[2:]
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
held = []
for path in sockets:
    os.chdir(os.path.dirname(path))
    for _ in range(count):
        held.append(socket.socket(socket.AF_UNIX))
        held[-1].connect(os.path.basename(path))
print("held", flush=True)
sys.stdin.read()
"""

KNOCK = """
import os, socket, sys
path = sys.argv[1]
os.chdir(os.path.dirname(path))
print("held", flush=True)
while True:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(os.path.basename(path))
"""


@contextlib.contextmanager
def stranger(script, *arguments):
    argv = everybody()["stranger"].argv([sys.executable, "-I", "-c", script, *arguments])
    with subprocess.Popen(argv, env=clean_environment(), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def sockets(host):
    return [str(host.run / f"{daemon}.sock") for daemon in ("front", "workers")]


def test_thousand_connections_of_a_stranger_keep_nobody_out(host):
    with stranger(HOLD, "1000", *sockets(host)):
        for person in ("root", "operator", "owner"):
            for word in ("on", "off"):
                assert amyctl(host, person, "maintenance", word, TINY).returncode == 0, person
            status = amyctl(host, person, "status", "--json")
            assert json.loads(status.stdout)["workers"]["pid"] == host.workers.pid, person
        refused = amyctl(host, "stranger", "status")
        assert refused.returncode == 1
        assert "too many connections of yours" in refused.stderr, refused.stderr
    wait_for(lambda: amyctl(host, "stranger", "status").returncode == 0, SOON_S,
             "who has left may come again")


def test_strangers_who_knock_all_the_time_keep_nobody_out(host):
    front, workers = sockets(host)
    with stranger(KNOCK, front), stranger(KNOCK, workers), stranger(KNOCK, front):
        for _ in range(5):
            assert amyctl(host, "root", "status").returncode == 0
            assert amyctl(host, "owner", "maintenance", "status", TINY).returncode == 0
    assert host.get(TINY, tls=False).status == 200
