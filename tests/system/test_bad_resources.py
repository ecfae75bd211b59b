"""Bad input: what the machine does not give: ports, servers, disk, descriptors."""

import hashlib
import json
import os
import socket
import subprocess

import pytest
from hosting import users, walk
from hosting.host import binaries
from hosting.process import Child
from hosting.rawhttp import Broken
from hosting.services import Postgres, Redis
from hosting.site import make_directory
from hosting.users import clean_environment
from hosting.wait import wait_for
from support import TINY, TINY_YAML, deploy_tiny, open_files

SOON_S = 60


# ---- ports


@pytest.mark.parametrize("which", ["https", "http"])
def test_port_in_use_is_named_and_nothing_starts(tiny, which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", getattr(tiny, which)))
        taken.listen()
        front = tiny.start_front(ready=False)
        assert front.wait(SOON_S) == 1
        assert str(getattr(tiny, which)) in front.output()
        assert "in use" in front.output()


# ---- database and Redis


@pytest.fixture
def own_servers(session_root, counter):
    directory = session_root / f"o{next(counter)}"
    make_directory(directory, 0o700, users.site_user())
    servers = Postgres(directory, users.site_user()), Redis(directory, users.site_user())
    yield servers
    for server in servers:
        server.stop()


def redis_of(host, domain):
    return walk.site_parts(host.status(), domain).get("redis", {})


def health(host, domain):
    answer = host.get(domain, "/healthz")
    return answer.status, json.loads(answer.body)


def test_database_and_redis_down_at_start_and_later(new_host, django_venv, own_servers):
    postgres, redis = own_servers
    postgres.start()
    host = new_host()
    site = host.site("demo.localhost")
    site.deploy_django(postgres.url, redis.url, django_venv)
    site.write_yaml(site.sample_yaml())
    postgres.stop()
    host.start_workers(ready=False)
    host.start_front()
    # Neither server runs: the site does, and says what is missing.
    wait_for(lambda: all(worker["state"] == "ready" for worker in
                         walk.workers_of(host.status(), site.domain, "web") or [{"state": ""}]),
             SOON_S, "the web workers are ready all the same")
    status, told = health(host, site.domain)
    assert status == 503 and not told["healthy"], told
    assert told["database"] != "ok" and told["redis"] != "ok", told
    assert host.get(site.domain).status == 500, "the application's own answer"
    told = wait_for(lambda: redis_of(host, site.domain).get("error"), SOON_S, "status says so")
    assert str(redis.socket) in told, told
    assert f"redis: {told}" in host.amyctl("status").stdout
    # Both come: nobody has to start anything again.
    postgres.start()
    redis.start()
    wait_for(lambda: health(host, site.domain)[0] == 200, SOON_S, "healthy")
    wait_for(host.workers_are_ready, SOON_S, "rq and the scheduler too")
    stage = walk.Stage(host, site, postgres, redis)
    assert walk.run_job(stage, 1000) == 168
    wait_for(lambda: "server" in redis_of(host, site.domain)
             and "error" not in redis_of(host, site.domain), SOON_S, "status knows Redis")
    # And go again, and come back.
    postgres.stop()
    status, told = health(host, site.domain)
    assert status == 503 and told["database"] != "ok" and told["redis"] == "ok", told
    redis.stop()
    assert health(host, site.domain)[1]["redis"] != "ok"
    postgres.start()
    redis.start()
    wait_for(lambda: health(host, site.domain)[0] == 200, SOON_S, "healthy again")
    wait_for(host.workers_are_ready, SOON_S, "all workers again")
    assert walk.run_job(stage, 100) == 25


# ---- a full disk


@pytest.fixture
def small_disk(session_root, counter):
    """A function that mounts a file system of 1 MiB over a directory."""
    mounted = []

    def mount(directory, mode, owner):
        directory.mkdir(exist_ok=True)
        options = f"size=1m,mode={mode},uid={owner.uid},gid={owner.gid}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "amy-test", str(directory)],
                       check=True)
        mounted.append(directory)

    yield mount
    for directory in mounted:
        subprocess.run(["umount", "--lazy", str(directory)], check=False)


def fill(directory):
    with open(directory / "filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)):
                pass
        except OSError:
            pass


@pytest.mark.root
def test_full_disk_under_the_spool(tiny, small_disk):
    spool = tiny.root / "spool"
    small_disk(spool, "0700", users.front_user())
    settings = json.loads(tiny.settings.read_text())
    tiny.settings.write_text(json.dumps(settings | {"spool": str(spool)}))
    tiny.start_workers()
    tiny.start_front()
    body = os.urandom(8 << 20)
    # What the disk cannot hold is refused; it is no reason to break.
    refused = tiny.get(TINY, "/echo", "POST", body=body, tls=False)
    assert refused.status == 507, "it is our disk, and not the request (RFC 4918 11.5)"
    assert tiny.get(TINY, tls=False).status == 200
    small = tiny.get(TINY, "/echo", "POST", body=body[:1000], tls=False)
    assert hashlib.sha256(body[:1000]).hexdigest() in small.text
    assert list(spool.iterdir()) == [], "spool files have no names"


@pytest.mark.root
def test_full_disk_under_the_logs(tiny, small_disk):
    small_disk(tiny.tiny.logs, "0750", tiny.user)
    fill(tiny.tiny.logs)
    tiny.start_workers()
    tiny.start_front()
    for _ in range(50):
        assert tiny.get(TINY, tls=False).status == 200
    (tiny.tiny.logs / "filler").unlink()
    assert tiny.get(TINY, "/found-again", tls=False).status == 404
    wait_for(lambda: "/found-again" in (tiny.tiny.logs / "access.log").read_text(), SOON_S,
             "lines are written again")


# ---- descriptors


def limited_front(host, descriptors):
    argv = ["prlimit", f"--nofile={descriptors}:{descriptors}", binaries() / "amy-front",
            *host.options()]
    host.front = Child("amy-front", argv, host.root / "amy-front.log")
    wait_for(host.front_is_ready, SOON_S, "amy-front answers")


def test_more_connections_than_descriptors(tiny):
    limit = 256
    tiny.start_workers()
    limited_front(tiny, limit)
    busy = tiny.connect(TINY, tls=False)
    busy.request("GET", "/slow?s=3", {"Host": TINY})
    idle = []
    try:
        for _ in range(limit * tiny.processes + 200):
            connection = tiny.connect(TINY, tls=False)
            idle.append(connection)
            # Idle as between two requests: nobody would close it for 75 s.
            connection.request("GET", "/fixed", {"Host": TINY})
            assert connection.read_response().status == 200
        # Whoever comes now is served: an idle connection made room.
        for _ in range(10):
            assert tiny.get(TINY, tls=False).status == 200
            assert tiny.get(TINY).status == 200
        assert busy.read_response().status == 200, "a request under way is not shed"
        shed = sum(connection_is_gone(connection) for connection in idle)
        assert shed > 0, "the fault was injected"
    finally:
        for connection in idle:
            connection.close()
        busy.close()
    wait_for(lambda: tiny.get(TINY, tls=False).status == 200, SOON_S, "all is well")


def connection_is_gone(connection):
    connection.raw.setblocking(False)
    try:
        return connection.raw.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_descriptors_do_not_leak(running):
    pids = [front["pid"] for front in walk.merged(running.status(), "processes")]

    def descriptors():
        return [len(open_files(pid)) for pid in [running.front.pid, *pids]]

    def a_round():
        for _ in range(30):
            running.get(TINY)
            running.get(TINY, "/size?n=100000", tls=False)
            with running.connect(TINY, tls=False) as connection:
                connection.send(b"broken\r\n\r\n")
                assert connection.read_response().status == 400
        running.amyctl("reload", TINY)

    a_round()
    before = descriptors()
    for _ in range(3):
        a_round()
    wait_for(lambda: all(now <= then + 2 for now, then in zip(descriptors(), before)), SOON_S,
             f"no more descriptors than {before}")


# ---- time and size


@pytest.mark.parametrize("fields, status", [
    ({"Content-Length": str(100 << 20)}, 413), ({"X-Large": "x" * 40000}, 431),
    ({"Expect": "something else"}, 417), ({"Transfer-Encoding": "gzip"}, 501),
], ids=["body", "field", "expectation", "coding"])
def test_what_is_too_much_is_refused(running, fields, status):
    with running.connect(TINY, tls=False) as connection:
        connection.request("POST" if status in {413, 501} else "GET", "/echo",
                           {"Host": TINY, **fields})
        assert connection.read_response().status == status


def test_long_request_line_is_414(running):
    with running.connect(TINY, tls=False) as connection:
        connection.request("GET", "/" + "x" * 20000, {"Host": TINY})
        assert connection.read_response().status == 414


def test_full_queue_is_503_and_retry_after(new_host, django_venv):
    host = new_host(processes=1)  # the limit is each process's own
    deploy_tiny(host, TINY, django_venv, TINY_YAML.replace("count: 2", "count: 1")
                + "limits: {{queue: 2}}\n")
    host.start_workers()
    host.start_front()
    connections = [host.connect(TINY, tls=False) for _ in range(8)]
    try:
        for connection in connections:
            connection.request("GET", "/slow?s=2", {"Host": TINY, "Connection": "close"})
        answers = [connection.read_response() for connection in connections]
    except Broken as broken:
        pytest.fail(f"a request was lost: {broken}")
    finally:
        for connection in connections:
            connection.close()
    # One is worked on, two wait.
    assert sorted(answer.status for answer in answers) == [200] * 3 + [503] * 5
    refused = [answer for answer in answers if answer.status == 503]
    assert all(int(answer.get("retry-after")) > 0 for answer in refused)


def test_environment_of_a_person_does_not_matter(tiny):
    """Started with closed standard input and a strange environment."""
    env = clean_environment(LISTEN_FDS="7", LISTEN_PID="1", NOTIFY_SOCKET="/nonexistent/socket")
    tiny.workers = Child("amy-workers", [binaries() / "amy-workers", *tiny.options()],
                         tiny.root / "amy-workers.log", env=env)
    wait_for(tiny.workers_are_ready, SOON_S, "all workers are ready")
