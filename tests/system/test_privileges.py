"""DESIGN.md's table of privileges, with real uids: who runs as whom, who keeps
what, and who may touch what."""

import os
import re
import signal
import subprocess

import pytest
from hosting import users, walk
from hosting.users import as_user, clean_environment
from hosting.wait import wait_for
from support import (TINY, children_of, command_line, identity, open_files, status_of_process)

pytestmark = pytest.mark.root

SOON_S = 30
CAPABILITIES = {"CHOWN": 0, "DAC_READ_SEARCH": 2, "KILL": 5, "SETGID": 6, "SETUID": 7,
                "NET_BIND_SERVICE": 10}
FRONT_MASTER = {"NET_BIND_SERVICE", "SETUID", "SETGID", "KILL", "DAC_READ_SEARCH", "CHOWN"}
WORKERS_MASTER = {"SETUID", "SETGID", "KILL", "CHOWN", "DAC_READ_SEARCH"}
PEOPLE = ("root", users.FRONT_USER, users.SITE_USER, "nobody")


def mask(names):
    return sum(1 << CAPABILITIES[name] for name in names)


def capabilities(pid, which):
    return int(status_of_process(pid)[which], 16)


def worker_pids(host):
    """Arbiters and their children."""
    arbiters = [worker["pid"] for worker in walk.workers_of(host.status(), TINY, "web")]
    return arbiters + [child for arbiter in arbiters for child in children_of(arbiter)]


def front_pids(host):
    return [front["pid"] for front in walk.merged(host.status(), "processes")]


def test_workers_are_the_sites_user_and_keep_nothing(running):
    user = running.user
    for pid in worker_pids(running):
        uids, gids, groups = identity(pid)
        assert uids == {user.uid} and gids == {user.gid}
        assert groups == set(os.getgrouplist(user.name, user.gid)), "exactly the user's groups"
        status = status_of_process(pid)
        for which in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[which], 16) == 0, (which, status[which])
        assert status["NoNewPrivs"] == "1"


def test_workers_begin_with_clean_signals_and_descriptors(running):
    for worker in walk.workers_of(running.status(), TINY, "web"):
        status = status_of_process(worker["pid"])
        assert int(status["SigBlk"], 16) == 0
        files = open_files(worker["pid"])
        foreign = [name for name in files.values()
                   if "memfd" in name or str(running.certificates) in name
                   or ".sock" in name or "inotify" in name]
        assert not foreign, foreign


def test_front_processes_are_amy_and_keep_nothing(running):
    amy = users.front_user()
    for pid in front_pids(running):
        uids, gids, groups = identity(pid)
        assert uids == {amy.uid} and gids == {amy.gid} and groups <= {amy.gid}
        status = status_of_process(pid)
        for which in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[which], 16) == 0, (which, status[which])
        assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("which", ["front", "workers"])
def test_masters_are_bounded(running, which):
    pid = getattr(running, which).pid
    allowed = mask(FRONT_MASTER if which == "front" else WORKERS_MASTER)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        extra = capabilities(pid, name) & ~allowed
        assert extra == 0, f"{name} has {extra:#x} too much"


def test_key_is_not_readable_by_anybody_but_root(running):
    key = running.certificates / TINY / "privkey.pem"
    for name in PEOPLE[1:]:
        assert not may(name, "-r", key), name


def may(name, test, path):
    argv = as_user(users.User.named(name), ["test", test, path])
    return subprocess.run(argv, env=clean_environment(), check=False).returncode == 0


# What each may do: r, w. What stands here is what DESIGN.md's section 3 and 4 say.
TABLE = [
    ("site.yaml", "rw", "r", "r", "r"),
    ("maintenance_off.html", "rw", "r", "r", "r"),
    (".", "rw", "r", "r", "r"),
    ("logs", "rw", "", "rw", ""),
    ("logs/access.log", "rw", "", "rw", ""),
    ("logs/gunicorn_supervisor.log", "rw", "", "rw", ""),
    ("DB_backups", "rw", "", "rw", ""),
    ("repo/.venv/bin/postactivate", "rw", "", "r", ""),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_files_of_a_site(running, row):
    path, *rights = row
    assert running.get(TINY, tls=False).status == 200
    full = running.tiny.directory / path
    wait_for(full.exists, SOON_S, f"{path} exists")
    for name, right in zip(PEOPLE, rights):
        got = "".join(letter for letter in "rw" if may(name, f"-{letter}", full))
        assert got == right, f"{name} may {got!r} {path}, not {right!r}"


def test_logs_belong_to_the_sites_user(running):
    running.get(TINY, tls=False)
    for name in ("access.log", "gunicorn_supervisor.log"):
        file = running.tiny.logs / name
        wait_for(file.exists, SOON_S, f"{name} is written")
        assert file.stat().st_uid == running.user.uid


def connects(name, path):
    script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
    argv = as_user(users.User.named(name), ["/usr/bin/python3", "-c", script, path])
    return subprocess.run(argv, env=clean_environment(), capture_output=True,
                          check=False).returncode == 0


def worker_sockets(host):
    return [path for path in (host.run / TINY).rglob("*") if path.is_socket()]


def test_sockets_of_workers_are_amys_and_of_nobody_else(running):
    sockets = worker_sockets(running)
    assert sockets, "there are sockets"
    for path in sockets:
        allowed = [name for name in PEOPLE if connects(name, path)]
        assert set(allowed) == {"root", users.FRONT_USER}, (path, allowed)


def test_control_sockets_answer_everybody_and_obey_few(running):
    for daemon in ("front", "workers"):
        path = running.run / f"{daemon}.sock"
        assert all(connects(name, path) for name in PEOPLE)
    nobody = users.User.named("nobody")
    for command in (("maintenance", "on", TINY), ("reload", TINY)):
        refused = running.amyctl(*command, user=nobody, check=False)
        assert refused.returncode == 1 and refused.stderr, command
    assert running.get(TINY, tls=False).status == 200


def test_members_of_amy_admin_may_do_everything(running):
    argv = ["setpriv", f"--reuid={users.User.named('nobody').uid}",
            f"--regid={users.group_id(users.ADMIN_GROUP)}", "--clear-groups", "--"]
    done = subprocess.run(
        [*argv, *map(str, running.amyctl_argv("maintenance", "on", TINY))],
        env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert running.get(TINY, tls=False).status == 503


def test_log_directory_swapped_for_a_link_by_the_sites_user(running):
    """Root never follows what the site's user put in a directory of theirs."""
    prey = running.root / "prey"
    prey.write_text("untouched\n")
    prey.chmod(0o666)
    log = running.tiny.logs / "access.log"
    wait_for(lambda: running.get(TINY, tls=False).status == 200 and log.exists(), SOON_S, "a log")
    script = f"rm -f {log} && ln -s {prey} {log}"
    subprocess.run(as_user(running.user, ["sh", "-c", script]), check=True)
    for number in (signal.SIGUSR1, signal.SIGHUP):
        running.front.send(number)
        wait_for(lambda: running.get(TINY, "/after", tls=False).status == 404, SOON_S, "it serves")
    running.front.stop()
    running.start_front()
    assert running.get(TINY, tls=False).status == 200
    assert prey.read_text() == "untouched\n"


def test_master_reads_nothing_from_an_inet_socket(running):
    trace = running.root / "strace.txt"
    tracer = subprocess.Popen(
        ["strace", "-f", "-yy", "-o", str(trace), "-p", str(running.front.pid),
         "-e", "trace=read,readv,pread64,recvfrom,recvmsg,recvmmsg,accept4,accept"],
        stderr=subprocess.PIPE, text=True)
    try:
        assert "attached" in tracer.stderr.readline()
        for _ in range(20):
            assert running.get(TINY).status == 200
            assert running.get(TINY, tls=False).status == 200
        with running.connect(TINY, tls=False) as connection:
            connection.send(b"GET / HTTP/1.1\r\n")
        running.amyctl("maintenance", "on", TINY)
        running.amyctl("maintenance", "off", TINY)
        os.kill(front_pids(running)[0], signal.SIGKILL)
        running.front.send(signal.SIGHUP)
        wait_for(lambda: all(front["state"] == "ready" for front in
                             walk.merged(running.status(), "processes")), SOON_S, "all is well")
        assert running.get(TINY).status == 200
    finally:
        tracer.send_signal(signal.SIGTERM)
        tracer.wait(SOON_S)
    # Processes that it started meanwhile are traced too, and do read from there.
    lines = [line for line in trace.read_text().splitlines()
             if line.startswith(f"{running.front.pid} ")]
    assert lines, "the master was watched at work"
    assert any("<UNIX" in line for line in lines), "control was seen"
    assert not [line for line in lines if re.search(r"^\d+ +\w+\(\d+<(TCP|UDP)", line)]


def test_front_process_cannot_open_what_it_was_not_handed(running):
    for pid in front_pids(running):
        for name in open_files(pid).values():
            assert str(running.certificates) not in name, name
            assert "site.yaml" not in name, name
        assert str(running.certificates) not in command_line(pid)


def test_nothing_listens_beyond_what_is_configured(running):
    """Only the two ports, and only on loopback as amy.yaml says."""
    done = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail("ss is missing (iproute2)")
    pids = {running.front.pid, running.workers.pid, *front_pids(running), *worker_pids(running)}
    ours = {line.split()[3] for line in done.stdout.splitlines()
            if any(f"pid={pid}," in line for pid in pids)}
    assert ours == {f"127.0.0.1:{running.https}", f"127.0.0.1:{running.http}"}
