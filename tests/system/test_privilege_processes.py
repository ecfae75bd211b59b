"""What each process is and keeps, as /proc tells it: DESIGN.md's section 4, for
the demo's site with all its kinds of workers, also after a reload and a crash."""

import contextlib
import fnmatch
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import writable
from hosting import users, walk
from hosting.host import sanitizer_options
from hosting.site import TEST_BASE
from hosting.wait import wait_for
from people import ALL_KINDS_YAML, CAPABILITIES, FRONT_MASTER, WORKERS_MASTER, deploy_two_sites
from support import (TINY, children_of, close_host, command_line, is_alive, open_files,
                     status_of_process)

pytestmark = pytest.mark.root

SOON_S = 60
NOTHING = frozenset()

# Of system calls: the masters have one of what is the host's, which their children
# inherit; a front process has another of its own (docs/decisions/0155).
# kind                who      permitted and effective, bounding set   no_new_privs, filters
TABLE = {
    "front master":  ("root",  FRONT_MASTER,   FRONT_MASTER,   1, 1),
    "front process": ("amy",   NOTHING,        NOTHING,        1, 2),
    "supervisor":    ("root",  WORKERS_MASTER, WORKERS_MASTER, 1, 1),
    "backups":       ("root",  WORKERS_MASTER, WORKERS_MASTER, 0, 1),
    "job":           ("owner", NOTHING,        NOTHING,        1, 1),
    "arbiter":       ("owner", NOTHING,        NOTHING,        1, 1),
    "web worker":    ("owner", NOTHING,        NOTHING,        1, 1),
    "rq":            ("owner", NOTHING,        NOTHING,        1, 1),
    "scheduler":     ("owner", NOTHING,        NOTHING,        1, 1),
}


def mask(names):
    """As /proc writes it. We may have less than all ourselves: in a container."""
    ours = int(status_of_process(os.getpid())["CapBnd"], 16)
    return sum(1 << CAPABILITIES[name] for name in names) & ours


def who_is(name):
    """(uid, gid, groups) as the system knows that user."""
    if name == "root":
        return 0, 0, set(os.getgroups())
    user = users.front_user() if name == "amy" else users.site_user()
    return user.uid, user.gid, set(os.getgrouplist(user.name, user.gid))


def pids_by_kind(stage):
    arbiters = [worker["pid"] for worker in stage.workers("web")]
    return {
        "front master": [stage.host.front.pid],
        "front process": [front["pid"] for front in stage.front_processes()],
        "supervisor": [stage.host.workers.pid],
        "backups": [stage.host.backup.pid],
        "arbiter": arbiters,
        "web worker": [child for arbiter in arbiters for child in children_of(arbiter)],
        "rq": [worker["pid"] for worker in stage.workers("rq")],
        "scheduler": [worker["pid"] for worker in stage.workers("scheduler")],
    }


def facts_of(pid):
    status = status_of_process(pid)
    return {
        "uids": set(map(int, status["Uid"].split())),
        "gids": set(map(int, status["Gid"].split())),
        "groups": set(map(int, status["Groups"].split())),
        **{name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd",
                                                    "CapAmb")},
        **{name: int(status[name]) for name in ("NoNewPrivs", "Seccomp", "Seccomp_filters")},
    }


def wanted(kind):
    who, capabilities, bounding, no_new_privs, filters = TABLE[kind]
    uid, gid, groups = who_is(who)
    return {
        "uids": {uid}, "gids": {gid}, "groups": groups, "CapInh": 0,
        "CapPrm": mask(capabilities), "CapEff": mask(capabilities), "CapBnd": mask(bounding),
        "CapAmb": 0, "NoNewPrivs": no_new_privs, "Seccomp": 2,
        # A container has one for all of us.
        "Seccomp_filters": int(status_of_process(os.getpid())["Seccomp_filters"]) + filters,
    }


def everything_is_ready(stage):
    """All workers and front processes are, with children, and none of `stale`."""
    status = stage.host.status()
    parts = [worker for pool in walk.site_parts(status, stage.domain)["pools"]
             if not pool["draining"] for worker in pool["workers"]]
    fronts = walk.merged(status, "processes")
    return (all(part["state"] == "ready" for part in [*parts, *fronts])
            and all(pids_by_kind(stage).values()))


def start(_stage):
    pass


def reload(stage):
    stage.host.amyctl("reload", stage.domain)
    for daemon in (stage.host.front, stage.host.workers, stage.host.backup):
        daemon.send(signal.SIGHUP)


def crash(stage):
    """One process of each kind that has a master above it is killed."""
    kinds = pids_by_kind(stage)
    victims = [kinds[kind][0] for kind in ("front process", "arbiter", "rq", "scheduler")]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, victims)), SOON_S, "they are gone")


@pytest.mark.parametrize("event", [start, reload, crash], ids=lambda event: event.__name__)
def test_who_runs_as_whom_and_keeps_what(stage, event):
    event(stage)
    wait_for(lambda: everything_is_ready(stage), SOON_S, "all is ready")
    wrong = []
    for kind, pids in pids_by_kind(stage).items():
        assert pids, f"there is no {kind}"
        for pid in pids:
            wrong += differences(kind, pid, facts_of(pid))
    assert not wrong, "\n".join(wrong)


def differences(kind, pid, got):
    return [f"{kind} {pid}: {name} is {got[name]}, not {want}"
            for name, want in wanted(kind).items() if got[name] != want]


def job_processes(stage):
    """A backup's own process, once it is a program, and what it has started."""
    jobs = [pid for pid in children_of(stage.host.backup.pid) if "--job" in command_line(pid)]
    return jobs + [pid for job in jobs for pid in children_of(job)]


def test_backup_runs_as_the_sites_user_and_keeps_nothing(stage):
    seen = {}
    argv = list(map(str, stage.host.amyctl_argv("backup", "now", stage.domain)))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as command:
        while command.poll() is None:
            for pid in job_processes(stage):
                with contextlib.suppress(OSError, KeyError):  # it has just ended
                    seen[pid, command_line(pid)] = facts_of(pid)
    assert command.returncode == 0
    assert any("--job" in words for _, words in seen), seen
    wrong = [line for (pid, _), got in seen.items() for line in differences("job", pid, got)]
    assert not wrong, "\n".join(wrong)


# ---- what each can write: DESIGN.md's column "writes"
#
# Of root that is in test_privilege_matrix.py, for the daemons' own directories; the rest
# of the system is read-only for it in its unit (test_units.py, tests/boot).

LOGS = "webapps/{site}/logs"
OWNERS = {LOGS, f"{LOGS}/*", "webapps/{site}/DB_backups", "webapps/{site}/DB_backups/*",
          "webapps/{site}/media/private"}
# gunicorn's beat, which has no name.
BEAT = {"/dev/shm/wgunicorn-* (deleted)"}

SPOOL_AND_WORKERS = {"state/spool", "run/{site}/*/[0-9]*.[0-9]*"}  # sockets: to connect

# kind              paths that not everybody may write    files that it has open for writing
WRITES = {
    "front master":  (None,              {f"{LOGS}/access.log", f"{LOGS}/error.log"}),
    "front process": (SPOOL_AND_WORKERS, {f"{LOGS}/access.log", f"{LOGS}/error.log"}),
    "supervisor":    (None,              {f"{LOGS}/gunicorn_supervisor.log"}),
    "backups":       (None,              set()),
    "arbiter":       (OWNERS,            BEAT),
    "web worker":    (OWNERS,            BEAT),
    "rq":            (OWNERS,            set()),
    "scheduler":     (OWNERS,            set()),
}
# Who may connect may ask; whom it answers is test_privilege_amyctl.py's matter.
FOR_EVERYBODY = {f"run/{name}{what}.sock" for name in ("front", "workers", "backup")
                 for what in ("", "-metrics")}


@pytest.fixture(scope="module")
def seeker(stage):
    assert not [path for path in writable.system_directories()
                if TEST_BASE.is_relative_to(path)], "hosts of other tests have the same users"
    return writable.Seeker(stage.host.root)


def spelled(stage, path):
    """As WRITES has it."""
    return path.replace(stage.domain, "{site}").removeprefix(f"{stage.host.root}/")


@pytest.mark.parametrize("kind", [kind for kind, (paths, _) in WRITES.items() if paths])
def test_paths_that_a_process_can_write(stage, seeker, kind):
    wait_for(lambda: everything_is_ready(stage), SOON_S, "all is ready")
    wanted, _ = WRITES[kind]
    pid = pids_by_kind(stage)[kind][0]
    got = {spelled(stage, path) for path in seeker.beyond_everybody(pid)} - FOR_EVERYBODY
    unknown = [path for path in got if not any(fnmatch.fnmatch(path, one) for one in wanted)]
    assert not unknown, f"{kind} can write {unknown}"
    missing = [one for one in wanted if "*" not in one and one not in got]
    assert not missing, f"{kind} cannot write {missing}"


def open_for_writing(pid):
    """(name, flags) of each file; sockets, pipes and memory have no name."""
    for fd, name in open_files(pid).items():
        if name.startswith("/") and name != "/dev/null" and not name.startswith("/memfd:"):
            with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                flags = flags_of(pid, fd)
                if flags & os.O_ACCMODE != os.O_RDONLY:
                    yield name, flags


@pytest.mark.parametrize("kind", WRITES)
def test_files_that_a_process_has_open_for_writing(stage, kind):
    wait_for(lambda: everything_is_ready(stage), SOON_S, "all is ready")
    _, wanted = WRITES[kind]
    outputs = {f"amy-{name}.log" for name in ("front", "workers", "backup")}
    for pid in pids_by_kind(stage)[kind]:
        for name, flags in open_for_writing(pid):
            known = any(fnmatch.fnmatch(spelled(stage, name), one) for one in wanted | outputs)
            assert known, f"{kind} has {name} open"
            assert flags & os.O_APPEND or "(deleted)" in name, f"{name} is appended to"


# ---- descriptors and signals


@pytest.fixture(scope="module")
def host(session_root, counter, django_venv):
    host = deploy_two_sites(session_root / f"h{next(counter)}", django_venv, ALL_KINDS_YAML)
    try:
        host.start_workers(ready=False)
        host.start_front()
        wait_for(lambda: host.get(TINY, tls=False).status == 200, SOON_S, "the site answers")
        yield host
    finally:
        close_host(host)


def worker_pid(host, pool):
    def found():
        workers = walk.workers_of(host.status(), TINY, pool)
        return workers and workers[0]["pid"]
    return wait_for(found, SOON_S, f"{pool} runs")


def flags_of(pid, fd):
    text = Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
    return int(re.search(r"flags:\s+([0-7]+)", text)[1], 8)


def listens_on_unix(host, pid, fd):
    inode = re.fullmatch(r"socket:\[(\d+)\]", open_files(pid)[fd])[1]
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    flags = {row[6]: int(row[3], 16) for row in rows}
    return bool(flags.get(inode, 0) & 0x10000)  # __SO_ACCEPTCON


def test_worker_gets_stdio_its_socket_and_clean_signals(host):
    """`sleep` opens nothing and changes no signal: what it has was given to it."""
    pid = worker_pid(host, "never")
    assert "sleep" in command_line(pid)
    files = open_files(pid)
    assert set(files) == {0, 1, 2, 3}, files
    assert files[0] == "/dev/null"
    assert files[1] == files[2] and files[1].startswith("pipe:"), files
    assert listens_on_unix(host, pid, 3)
    status = status_of_process(pid)
    assert [int(status[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")] == [0, 0, 0]


def test_worker_with_a_lock_gets_that_and_cannot_write_it(host):
    pid = worker_pid(host, "scheduler")
    locks = {fd: name for fd, name in open_files(pid).items()
             if name.startswith(str(host.root)) and str(host.tiny.directory) not in name}
    assert list(locks.values()) == [f"{host.run}/locks/{TINY}/scheduler/scheduler.0.lock"], locks
    assert flags_of(pid, next(iter(locks))) & os.O_ACCMODE == os.O_RDONLY


def listening_ports():
    """Port by inode of all TCP sockets that listen."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9]: int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"}


def unix_inodes():
    return {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}


def kind_of_descriptor(host, name):
    """What one descriptor of an idle front process is; None: not known."""
    if inode := re.fullmatch(r"socket:\[(\d+)\]", name):
        if port := listening_ports().get(inode[1]):
            return f"listener {port}"
        return "unix" if inode[1] in unix_inodes() else None
    exact = {"/dev/null": "stdio", str(host.root / "amy-front.log"): "stdio",
             "anon_inode:[eventpoll]": "loop", "anon_inode:[eventfd]": "bell",
             str(host.state / "spool"): "spool"}
    if name in exact:
        return exact[name]
    if name.startswith("pipe:"):
        return "loop"
    for site in host.sites.values():
        found = {str(site.directory): "site", str(host.run / site.domain): "workers",
                 str(site.logs / "access.log"): "log", str(site.logs / "error.log"): "log"}
        if name in found:
            return found[name]
    return None


def test_front_process_holds_nothing_beyond_its_work(host):
    """No key, no certificate, no configuration, nothing of another process."""
    # A bell for every number that a process may have, after upgrades too.
    wanted_at_most = {"stdio": 3, "loop": 3, "bell": 64, "spool": 1, "site": 2, "log": 4}
    for front in walk.merged(host.status(), "processes"):
        pid = front["pid"]
        kinds = {}
        for fd, name in open_files(pid).items():
            kinds.setdefault(kind_of_descriptor(host, name), []).append((fd, name))
        assert None not in kinds, f"what is {kinds[None]} of {pid}?"
        assert {"listener %d" % host.https, "listener %d" % host.http} <= set(kinds)
        for kind, most in wanted_at_most.items():
            assert len(kinds[kind]) <= most, (kind, kinds[kind])
        for fd, name in kinds["log"]:
            flags = flags_of(pid, fd)
            assert flags & os.O_ACCMODE == os.O_WRONLY and flags & os.O_APPEND, name


def test_front_process_inherits_no_words(host):
    """Neither by its arguments nor by its environment."""
    for front in walk.merged(host.status(), "processes"):
        environment = Path(f"/proc/{front['pid']}/environ").read_bytes()
        names = {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry}
        names -= {name.encode() for name in sanitizer_options()}
        assert names == {b"PATH", b"AMY_CHANNEL_FD"}, names
        assert command_line(front["pid"]).endswith("--front-process")
