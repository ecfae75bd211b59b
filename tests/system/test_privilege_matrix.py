"""Who may touch what: DESIGN.md's sections 3 and 4 as a table, each cell of which
is tried with the uid of its column.

    files         r  open to read          w  open to write
    directories   l  list                  e  enter
                  c  create a file in it   d  rename and delete a file of root's in it
    sockets       t  talk to: connect

Whether a file may be deleted, renamed or replaced is its directory's row.
"""

import fnmatch
import json
import os
import signal
import stat

import pytest
from hosting.wait import wait_for
from people import ALL_KINDS_YAML, NEIGHBOURS, WHOLE_YAML, deploy_two_sites, everybody, one_path
from support import TINY, close_host, open_files

pytestmark = pytest.mark.root

SOON_S = 60
COLUMNS = ("root", "master", "amy", "owner", "neighbour", "stranger")
SITE = "webapps/{site}"
RUN, FRONT, WORKERS = "run/{site}", "state/front/sites/{site}", "state/workers/sites/{site}"
BACKUP = "state/backup/sites/{site}"

# Below a host's root: run is /run/amy, state /var/lib/amy, certificates
# /etc/letsencrypt/live.
TABLE = [
    # path                              root    master  amy     owner   neighbour stranger
    ("webapps",                         "lecd", "lecd", "le",   "le",   "le",     "le"),
    # ---- the site's directory: who deploys owns it; logs and dumps are the owner's
    (SITE,                              "lecd", "lecd", "le",   "le",   "le",     "le"),
    (f"{SITE}/site.yaml",               "rw",   "rw",   "r",    "r",    "r",      "r"),
    (f"{SITE}/maintenance_off.html",    "rw",   "rw",   "r",    "r",    "r",      "r"),
    (f"{SITE}/down.html",               "rw",   "rw",   "r",    "r",    "r",      "r"),
    (f"{SITE}/maintenance",             "lecd", "lecd", "le",   "le",   "le",     "le"),
    (f"{SITE}/maintenance/icon.svg",    "rw",   "rw",   "r",    "r",    "r",      "r"),
    (f"{SITE}/repo",                    "lecd", "lecd", "le",   "le",   "le",     "le"),
    (f"{SITE}/repo/.venv",              "lecd", "lecd", "le",   "le",   "le",     "le"),
    (f"{SITE}/repo/.venv/bin",          "lecd", "lecd", "le",   "le",   "le",     "le"),
    (f"{SITE}/repo/.venv/bin/postactivate", "rw", "rw", "",     "r",    "",       ""),
    (f"{SITE}/logs",                    "lecd", "le",   "",     "lecd", "",       ""),
    (f"{SITE}/logs/access.log",         "rw",   "r",    "",     "rw",   "",       ""),
    (f"{SITE}/logs/error.log",          "rw",   "r",    "",     "rw",   "",       ""),
    (f"{SITE}/logs/gunicorn_supervisor.log", "rw", "r", "",     "rw",   "",       ""),
    (f"{SITE}/DB_backups",              "lecd", "le",   "",     "lecd", "",       ""),
    # ---- /run/amy: anybody may ask a daemon, only the front its workers
    ("run",                             "lecd", "lecd", "le",   "le",   "le",     "le"),
    ("run/front.sock",                  "t",    "t",    "t",    "t",    "t",      "t"),
    ("run/workers.sock",                "t",    "t",    "t",    "t",    "t",      "t"),
    ("run/backup.sock",                 "t",    "t",    "t",    "t",    "t",      "t"),
    ("run/backup-metrics.sock",         "t",    "t",    "t",    "t",    "t",      "t"),
    ("run/front-metrics.sock",          "t",    "t",    "t",    "t",    "t",      "t"),
    ("run/workers-metrics.sock",        "t",    "t",    "t",    "t",    "t",      "t"),
    (RUN,                               "lecd", "lecd", "le",   "",     "",       ""),
    (f"{RUN}/web",                      "lecd", "lecd", "le",   "",     "",       ""),
    (f"{RUN}/web/[0-9]*.*",             "t",    "t",    "t",    "",     "",       ""),
    (f"{RUN}/never",                    "lecd", "lecd", "le",   "",     "",       ""),
    (f"{RUN}/never/.*",                 "t",    "t",    "t",    "",     "",       ""),
    ("run/locks",                       "lecd", "lecd", "",     "",     "",       ""),
    ("run/locks/{site}",                "lecd", "lecd", "",     "",     "",       ""),
    ("run/locks/{site}/scheduler",      "lecd", "lecd", "",     "",     "",       ""),
    ("run/locks/{site}/scheduler/*.lock", "rw", "rw",   "",     "",     "",       ""),
    # ---- /var/lib/amy: each daemon's own; a spooled body has no name
    ("state",                           "lecd", "lecd", "le",   "le",   "le",     "le"),
    ("state/front",                     "lecd", "lecd", "",     "",     "",       ""),
    ("state/front/sites",               "lecd", "lecd", "",     "",     "",       ""),
    (FRONT,                             "lecd", "lecd", "",     "",     "",       ""),
    (f"{FRONT}/site.yaml",              "rw",   "rw",   "",     "",     "",       ""),
    ("state/workers",                   "lecd", "lecd", "",     "",     "",       ""),
    ("state/workers/sites",             "lecd", "lecd", "",     "",     "",       ""),
    (WORKERS,                           "lecd", "lecd", "",     "",     "",       ""),
    (f"{WORKERS}/site.yaml",            "rw",   "rw",   "",     "",     "",       ""),
    (f"{WORKERS}/generation",           "rw",   "rw",   "",     "",     "",       ""),
    (f"{WORKERS}/served",               "rw",   "rw",   "",     "",     "",       ""),
    ("state/backup",                    "lecd", "lecd", "",     "",     "",       ""),
    ("state/backup/sites",              "lecd", "lecd", "",     "",     "",       ""),
    (BACKUP,                            "lecd", "lecd", "",     "",     "",       ""),
    (f"{BACKUP}/site.yaml",             "rw",   "rw",   "",     "",     "",       ""),
    (f"{BACKUP}/alarms.json",           "rw",   "rw",   "",     "",     "",       ""),
    ("state/spool",                     "lecd", "le",   "lecd", "",     "",       ""),
    # ---- certificates, and what is not of one site
    ("certificates",                    "lecd", "lecd", "",     "",     "",       ""),
    ("certificates/{site}",             "lecd", "lecd", "",     "",     "",       ""),
    ("certificates/{site}/fullchain.pem", "rw", "rw",   "",     "",     "",       ""),
    ("certificates/{site}/privkey.pem", "rw",   "rw",   "",     "",     "",       ""),
    ("amy.yaml",                        "rw",   "rw",   "r",    "r",    "r",      "r"),
]
CELLS = [pytest.param(path, person, rights, id=f"{person}-{path}")
         for path, *row in TABLE for person, rights in zip(COLUMNS, row, strict=True)]

# Runs as the column's person: tries each letter on one path, prints those that
# were allowed. `probe` is a file of root's in the directory.
TRY = """
import json, os, socket, stat, sys
path, kind, probe = sys.argv[1:]
def attempt(action):
    try:
        action()
        return True
    except PermissionError:
        return False
def opened(flags):
    return lambda: os.close(os.open(path, flags | os.O_NOFOLLOW))
def create():
    mine = f"{path}/.made-by-{os.getuid()}"
    os.close(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    os.unlink(mine)
def delete():
    os.rename(probe, probe + "-moved")
    os.unlink(probe + "-moved")
def connect():
    os.chdir(os.path.dirname(path))
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(os.path.basename(path))
tries = {
    "file": {"r": opened(os.O_RDONLY), "w": opened(os.O_WRONLY)},
    "directory": {"l": lambda: os.listdir(path), "e": lambda: os.stat(path + "/."),
                  "c": create, "d": delete},
    "socket": {"t": connect},
}[kind]
print("".join(letter for letter, action in tries.items() if attempt(action)))
"""


@pytest.fixture(scope="module")
def host(session_root, counter, django_venv):
    """Two sites serving, one of them with a worker that is never ready, which came
    later: what served is noted only of a site that was whole once."""
    host = deploy_two_sites(session_root / f"h{next(counter)}", django_venv, WHOLE_YAML)
    os.chmod(host.certificates, 0o700)  # as /etc/letsencrypt/live is
    try:
        host.start_workers(ready=False)
        wait_for(one_path(host, f"{WORKERS}/served").exists, SOON_S, "it was whole")
        host.tiny.write_yaml(ALL_KINDS_YAML.format(domain=TINY, user=host.user.name))
        host.start_front()
        host.start_backup()
        host.workers.send(signal.SIGHUP)
        for path, *_ in TABLE:
            wait_for(lambda: os.path.lexists(one_path(host, path)), SOON_S, f"{path} is there")
        yield host
    finally:
        close_host(host)


def kind_of(path):
    mode = path.lstat().st_mode
    return {stat.S_IFDIR: "directory", stat.S_IFSOCK: "socket", stat.S_IFREG: "file"}[
        stat.S_IFMT(mode)]


def rights_of(person, path):
    """What the person is allowed of what there is to do with `path`, really."""
    kind = kind_of(path)
    probe = path / f".probe-{os.getpid()}"
    if kind == "directory":
        probe.touch()
    try:
        done = person.run(["/usr/bin/python3", "-I", "-c", TRY, path, kind, probe])
    finally:
        if kind == "directory":
            probe.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("pattern", "name", "rights"), CELLS)
def test_cell(host, pattern, name, rights):
    path = wait_for(lambda: (found := one_path(host, pattern)).exists() and found, SOON_S, pattern)
    got = rights_of(everybody()[name], path)
    assert got == rights, f"{name} may {got or 'nothing'!r} of {pattern}, not {rights!r}"


def paths_below(host):
    """Everything of the owner's site and of the daemons, as the table spells it;
    without what is inside repo/ and what only the test put there."""
    for top in ("webapps", "run", "state", "certificates"):
        yield top
        for path in (host.root / top).rglob("*"):
            name = str(path.relative_to(host.root)).replace(TINY, "{site}")
            if NEIGHBOURS not in name and not name.startswith((f"{SITE}/repo/", f"{SITE}/beat")):
                yield name


def test_table_is_whole(host):
    """Whoever adds a file says here who may touch it."""
    patterns = [path for path, *_ in TABLE]
    unknown = [name for name in paths_below(host)
               if ".probe-" not in name and ".made-by-" not in name
               and not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    assert not unknown, f"no row of TABLE says who may touch {unknown}"
    rows = {pattern for pattern in patterns if kind_of(one_path(host, pattern)) == "directory"}
    parents = {pattern.rpartition("/")[0] for pattern in patterns if "/" in pattern}
    assert parents <= rows, f"no row says who may replace what is in {parents - rows}"


def test_request_bodies_have_no_name(host):
    """A body on disk is in the front processes' spool and reachable by nobody else."""
    spool = host.root / "state/spool"
    with host.connect(TINY, tls=False) as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: " + TINY.encode()
                        + b"\r\nContent-Length: 300000\r\n\r\n" + bytes(200000))
        front = [process["pid"] for process in host.daemon_status("front")["processes"]]
        wait_for(lambda: any("(deleted)" in name and str(spool) in name
                             for pid in front for name in open_files(pid).values()),
                 SOON_S, "the body is on disk")
        assert list(spool.iterdir()) == []
        connection.send(bytes(100000))
        assert connection.read_response("POST").status == 200
