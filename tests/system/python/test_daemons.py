"""amy.status, amy.gate and amy.control with a real host's daemons."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone

import pytest
from amy import Code, Error, control, gate, status
from hosting.users import as_user, clean_environment
from hosting.wait import wait_for
from support import TINY, TINY_YAML, deploy_tiny

SOON_S = 60


@pytest.fixture(scope="module")
def host(host_for_module, django_venv):
    deploy_tiny(host_for_module, TINY, django_venv, TINY_YAML)
    host_for_module.start_workers()
    host_for_module.start_front()
    return host_for_module


@pytest.fixture
def opened(host):
    yield host
    gate.open(TINY, run_directory=host.run)


def run_as(user, host, script):
    """A program of the package's as another user."""
    head = f"import amy\nfrom amy import backup, gate, status\nrun = {str(host.run)!r}\n"
    return subprocess.run(as_user(user, [sys.executable, "-c", head + script]),
                          env=clean_environment(), cwd="/", capture_output=True, text=True,
                          check=False, timeout=120)


# ---- status


def test_status_has_what_amyctl_prints(host):
    seen = status.read(run_directory=host.run)
    printed = host.status()
    assert seen.front.runs and seen.front.pid == host.front.pid == printed["front"]["pid"]
    assert seen.workers.runs and seen.workers.pid == host.workers.pid
    assert seen.front.version and seen.front.up_s > 0
    assert [process.state for process in seen.front.processes] == ["ready", "ready"]
    assert not seen.backup.runs and seen.backup.error, "nobody started it"
    assert [site.name for site in seen.sites] == [site["site"] for site in printed["sites"]]


def test_status_of_a_site(host):
    site = status.read(run_directory=host.run).site(TINY)
    assert site.user == host.user.name
    assert not site.require_gate().closed
    assert datetime.now(timezone.utc) - site.gate.since < timedelta(hours=1)
    (pool,) = site.pools
    assert (pool.name, pool.role, pool.draining) == ("web", "current", False)
    assert [worker.position for worker in pool.workers] == [0, 1]
    assert all(worker.state == "ready" and worker.pid > 1 for worker in pool.workers)
    assert site.slots["web"].total == 2 and site.slots["web"].queued == 0
    assert site.reload.state == "idle" and site.reload.release == str(host.sites[TINY].repo.resolve())
    (certificate,) = site.certificates
    assert TINY in certificate.names and certificate.not_after > datetime.now(timezone.utc)
    assert site.backup is None and site.problems == ()


def test_each_problem_is_told_once(host):
    host.site("broken.localhost").write_yaml("site: broken.localhost\nuser: root\nnosuch: 1\n")
    try:
        host.amyctl("reload", check=False)
        found = status.read(run_directory=host.run).site("broken.localhost").problems
        assert len(found) == len(set(found)) >= 2, found
        (unknown,) = [problem for problem in found if problem.key == "nosuch"]
        assert (unknown.severity, unknown.line) == ("error", 3)
    finally:
        (host.webapps / "broken.localhost/site.yaml").unlink()
        host.sites.pop("broken.localhost")
        host.amyctl("reload", check=False)


def test_no_such_site(host):
    with pytest.raises(Error) as caught:
        status.read(run_directory=host.run).site("other.localhost")
    assert caught.value.code is Code.ENOTFOUND
    for name in ("other.localhost", "../x", "", "a b", "x\n"):
        with pytest.raises(Error) as caught:
            gate.close(name, run_directory=host.run)
        assert caught.value.code is Code.ENOTFOUND, name
    with pytest.raises(Error) as caught:
        gate.state("other.localhost", run_directory=host.run)
    assert caught.value.code is Code.ENOTFOUND


def test_no_daemon_at_all(tmp_path):
    with pytest.raises(Error) as caught:
        status.read(run_directory=tmp_path)
    assert caught.value.code is Code.ECONN
    with pytest.raises(Error) as caught:
        status.read(run_directory=tmp_path / "none")
    assert caught.value.code is Code.ENOTFOUND


# ---- gate


def test_the_gate_through_amy_front(opened):
    host = opened
    gate.close(TINY, run_directory=host.run)
    assert host.get(TINY, tls=False).status == 503
    state = gate.state(TINY, run_directory=host.run)
    assert state.closed and state.by
    with gate.Gate(host.sites[TINY].directory) as one:
        assert one.is_closed
    gate.open(TINY, run_directory=host.run)
    assert host.get(TINY, tls=False).status == 200


def test_a_renamed_page_closes_it_too(opened):
    host = opened
    with gate.Gate(host.sites[TINY].directory) as one:
        one.close()
    wait_for(lambda: gate.state(TINY, run_directory=host.run).closed, SOON_S, "the front sees it")
    assert gate.state(TINY, run_directory=host.run).by == ""


@pytest.mark.root
def test_the_sites_user_may_ask_and_may_not_rename(opened):
    host = opened
    done = run_as(host.user, host, f"gate.close({TINY!r}, run_directory=run); print('closed')")
    assert done.stdout == "closed\n", done.stderr
    assert gate.state(TINY, run_directory=host.run).by == host.user.name
    done = run_as(host.user, host, f"""
try:
    gate.Gate({str(host.sites[TINY].directory)!r}).open()
except amy.Error as error:
    print(error.code.name)
""")
    assert done.stdout == "EDENIED\n", done.stdout + done.stderr


@pytest.mark.root
def test_a_stranger_may_read_and_not_change(opened):
    from hosting.users import User
    host = opened
    done = run_as(User.named("nobody"), host, f"""
print(gate.state({TINY!r}, run_directory=run).closed)
try:
    gate.close({TINY!r}, run_directory=run)
except amy.Error as error:
    print(error.code.name, error.detail, "may not do that" in error.message)
""")
    assert done.stdout == "False\nEDENIED 403 True\n", done.stderr
    assert not gate.state(TINY, run_directory=host.run).closed


# ---- control


@pytest.fixture
def peer(tmp_path):
    """A function that answers one request in a daemon's place."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "front.sock"))
        listener.listen()
        threads = []

        def answer(raw):
            def serve():
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):  # the client may leave
                    connection.recv(65536)
                    connection.sendall(raw)
                    while connection.recv(65536):
                        pass
            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            return tmp_path

        yield answer
        for thread in threads:
            thread.join(SOON_S)


def http(status_line, body, kind="application/json"):
    return (f"HTTP/1.1 {status_line}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


def failure(directory, **options):
    with pytest.raises(Error) as caught:
        control.ask("front", "GET", "/v1/status", run_directory=directory, **options)
    return caught.value


def test_a_refusal_becomes_an_error_with_all_it_brings(peer):
    body = json.dumps({"detail": "no", "problems": [1]})
    error = failure(peer(http("422 Unprocessable Content", body)))
    assert (error.code, error.message, error.detail) == (Code.ESTATE, "no", 422)
    assert error.answer["problems"] == [1] and error.source == 4


@pytest.mark.parametrize(("raw", "code"), [
    (http("200 OK", "[1]"), Code.EPROTO),
    (http("200 OK", "{"), Code.EPROTO),
    (http("418 Teapot", "{}"), Code.EPROTO),
    (http("503 Service Unavailable", "{}"), Code.EAGAIN),
    (http("200 OK", "1" * 5_000_000), Code.ELIMIT),
    (b"nonsense\r\n\r\n", Code.EPROTO),
], ids=["list", "cut", "status", "busy", "long", "nonsense"])
def test_bad_answers(peer, raw, code):
    assert failure(peer(raw), timeout_s=SOON_S).code is code


def test_a_deadline_is_kept(peer):
    assert failure(peer(b""), timeout_s=0.2).code is Code.ETIMEOUT


def test_what_cannot_be_asked():
    for options in ({"timeout_s": 0}, {"timeout_s": -1}, {"timeout_s": float("nan")}, {"timeout_s": 1e9}):
        assert failure("/nowhere", **options).code is Code.EINVAL
    with pytest.raises(Error) as caught:
        control.ask("front", "PUT", "/v1/x", {"x": "y" * 70000}, run_directory="/")
    assert caught.value.code is Code.EINVAL
