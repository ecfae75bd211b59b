"""What follows from DESIGN.md's table of privileges: what root never does, in spite
of its power. The table itself is in test_privilege_matrix.py (paths),
test_privilege_processes.py and test_privilege_amyctl.py."""

import os
import re
import signal
import subprocess

import pytest
from hosting import walk
from hosting.users import as_user
from hosting.wait import wait_for
from support import TINY, children_of

pytestmark = pytest.mark.root

SOON_S = 30


def worker_pids(host):
    """Arbiters and their children."""
    arbiters = [worker["pid"] for worker in walk.workers_of(host.status(), TINY, "web")]
    return arbiters + [child for arbiter in arbiters for child in children_of(arbiter)]


def front_pids(host):
    return [front["pid"] for front in walk.merged(host.status(), "processes")]


def test_logs_belong_to_the_sites_user(running):
    running.get(TINY, tls=False)
    for name in ("access.log", "gunicorn_supervisor.log"):
        file = running.tiny.logs / name
        wait_for(file.exists, SOON_S, f"{name} is written")
        assert file.stat().st_uid == running.user.uid


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


def served_leaf(host):
    with host.connect(TINY) as connection:
        return connection.certificate()


def swap_certificate(host):
    """As certbot does, and wait until the new one is what visitors see."""
    before = served_leaf(host)
    host.authority.issue(host.certificates / TINY, [TINY])
    host.amyctl("reload", TINY)
    wait_for(lambda: served_leaf(host) != before, SOON_S, "the new certificate is served")


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
        running.amyctl("reload")
        swap_certificate(running)
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


def test_nothing_listens_beyond_what_is_configured(running):
    """Only the two ports, and only on loopback as amy.yaml says."""
    done = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail("ss is missing (iproute2)")
    pids = {running.front.pid, running.workers.pid, *front_pids(running), *worker_pids(running)}
    ours = {line.split()[3] for line in done.stdout.splitlines()
            if any(f"pid={pid}," in line for pid in pids)}
    assert ours == {f"127.0.0.1:{running.https}", f"127.0.0.1:{running.http}"}
