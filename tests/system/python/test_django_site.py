"""amy.contrib.django in the demo's site, served by the daemons, set up as
docs/django.md says."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml
from amy import status
from hosting.site import TOP
from hosting.users import User
from hosting.wait import wait_for
from support import children_of

# Begins first: it takes longest of all.
pytestmark = pytest.mark.timeout(300)

DOMAIN = "demo.localhost"
SOON_S = 60
YAML = """\
site: demo.localhost
user: {user}
health: {{path: /healthz, any_host: true, bake: 300ms}}
workers:
  - {{name: web, wsgi: config.wsgi:application, count: 2}}
database: {{from: DATABASE_URL}}
redis: {{from: AMY_REDIS_URL}}
gate: {{except: [/healthz]}}
"""
# What the example does by itself, where the page's lines are to do it.
OPTIONAL = """\
if find_spec("amy") is not None:
    INSTALLED_APPS.append("amy.contrib.django")
"""
MORE = """
AMY = {{"RUN_DIRECTORY": {run!r}, "HEALTH": {{"DEADLINE_S": 1.0, "MAX_AGE_S": 0.1}}}}
CACHES = {{"default": {{"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}}}
"""


def page_settings():
    """The lines that the page asks for."""
    page = (TOP / "docs/django.md").read_text()
    return re.search(r"^```python\n(# in settings.py\n.*?)^```", page, re.M | re.S)[1]


def install(site, host):
    """The package into the site's environment, and the page's lines."""
    packages = next(Path(sys.prefix).glob("lib/python3*/site-packages"))
    mine = next(site.venv.resolve().glob("lib/python3*/site-packages"))
    (mine / "amy.pth").write_text(f"{packages}\n")
    (mine / "yaml").symlink_to(Path(yaml.__file__).parent)
    settings = site.repo / "config/settings.py"
    text = settings.read_text()
    assert OPTIONAL in text
    settings.write_text(text.replace(OPTIONAL, "") + page_settings() + MORE.format(run=str(host.run)))


@pytest.fixture(scope="module")
def host(host_for_module, django_venv, postgres, redis):
    host = host_for_module
    site = host.site(DOMAIN)
    site.deploy_django(postgres.url, redis.url, django_venv)
    install(site, host)
    site.write_yaml(YAML.format(user=host.user.name))
    # Before the daemons look for the first time: the next time is a while later.
    enqueue = "import config.wsgi, django_rq; django_rq.get_queue('default').enqueue('math.sqrt', 4)"
    site.run("python", "-c", enqueue, user=host.user)
    host.start_workers(ready=False)
    host.start_front()
    wait_for(host.workers_are_ready, SOON_S, "all workers are ready")
    return host


@pytest.fixture(scope="module")
def site(host):
    return host.sites[DOMAIN]


def health(host, **headers):
    answer = host.get(DOMAIN, "/healthz", headers=headers)
    assert answer.get("cache-control") == "no-store"
    assert answer.get("content-length") == str(len(answer.body))
    return answer.status, json.loads(answer.body)


WELL = (200, {"healthy": True, "database": "ok", "cache": "ok", "redis": "ok"})


# ---- checks


def test_the_demos_settings_fit(site, host):
    assert "no issues" in site.manage("check", "--database", "default", user=host.user)


def test_a_misfit_stops_a_command(site, host):
    settings = site.repo / "config/settings.py"
    before = settings.read_text()
    settings.write_text(before + 'SECURE_PROXY_SSL_HEADER = ("HTTP_X_SSL", "on")\n')
    try:
        with pytest.raises(RuntimeError, match=r"amy\.E001"):
            site.manage("check", user=host.user)
    finally:
        settings.write_text(before)


def test_more_connections_than_the_server_takes(site, host):
    before = site.yaml.read_text()
    site.write_yaml(before.replace("count: 2", "count: 100"))
    try:
        strictly = ("check", "--fail-level", "WARNING")
        with pytest.raises(RuntimeError, match=r"amy\.W017.* keep up to 101 connections .* takes 97"):
            site.manage(*strictly, "--database", "default", user=host.user)
        assert "no issues" in site.manage(*strictly, user=host.user), "nobody asked the server"
    finally:
        site.write_yaml(before)


def test_a_worker_loads_no_libamy(site, host):
    """Each worker has the application; the library is for who asks the daemons."""
    script = """
import config.wsgi
from django.core.checks import run_checks
from django.test import Client
assert not [one for one in run_checks(include_deployment_checks=True) if one.id.startswith("amy.")]
assert Client().get("/healthz").status_code in (200, 503)
print("/libamy.so" in open("/proc/self/maps").read())
import amy
print(amy.__version__, "/libamy.so" in open("/proc/self/maps").read())
"""
    first, second = site.run("python", "-c", script, user=host.user).splitlines()
    assert first == "False" and second.endswith(" True")


# ---- what amy-workers knows of rq


def test_the_status_has_the_queues(host):
    def waiting():
        told = status.read(run_directory=host.run).site(DOMAIN).redis
        return {queue.name: queue for queue in told.queues}.get("default") if told.asked else None

    queue = wait_for(waiting, SOON_S, "the queue is seen")
    assert queue.length >= 1 and queue.oldest_s >= 0 and queue.failed == 0
    told = status.read(run_directory=host.run).site(DOMAIN).redis
    assert (told.error, told.workers_alive) == ("", 0) and "memory" in str(told.raw["server"])


# ---- maintenance


def test_maintenance_as_the_sites_user(site, host):
    try:
        assert site.manage("maintenance", "on", user=host.user) == f"{DOMAIN} is closed for maintenance\n"
        assert host.get(DOMAIN).status == 503
        expect(host, WELL, "the health page, which site.yaml leaves open")
        told = site.manage("maintenance", "status", user=host.user)
        assert re.fullmatch(rf"{DOMAIN} is closed since \S+ \S+ UTC by {host.user.name}\n", told), told
    finally:
        assert site.manage("maintenance", "off", user=host.user) == f"{DOMAIN} is open\n"
    assert host.get(DOMAIN).status == 200


@pytest.mark.root
def test_maintenance_as_somebody_else(site, host):
    with pytest.raises(RuntimeError, match=r"nobody may not do that"):
        settings = site.venv / "bin/postactivate"
        settings.chmod(0o644)  # a stranger cannot even read it
        try:
            site.manage("maintenance", "on", user=User.named("nobody"))
        finally:
            settings.chmod(0o640)
    assert host.get(DOMAIN).status == 200


def test_maintenance_that_cannot_be(site, host):
    """One process, because Django takes its time to start."""
    script = f"""
import config.wsgi
from django.conf import settings
from django.core.management import CommandError, call_command

def refusal(*arguments):
    try:
        call_command("maintenance", *arguments)
    except CommandError as error:
        print(error)

refusal("on", "--site", "other.localhost")
refusal("off", "--site", "../..")
settings.AMY["RUN_DIRECTORY"] = {str(host.state)!r}
refusal("on")
refusal("status")
settings.AMY = {{}}
settings.BASE_DIR = "/usr"
refusal("status")
"""
    told = site.run("python", "-c", script, user=host.user).splitlines()
    assert told[0] == "other.localhost: no site 'other.localhost' here"
    assert told[1] == "../..: there is no site '../..'"
    assert told[2].startswith("amy-front does not run: ") and told[3] == told[2]
    assert told[4].startswith("which site? There is no site.yaml above BASE_DIR")


# ---- health


def expect(host, wanted, what, **headers):
    """An outcome is kept for a moment, and on a busy machine what is well may be late."""
    wait_for(lambda: health(host, **headers) == wanted, SOON_S, what)


def test_well_under_any_name(host):
    expect(host, WELL, "all is well")
    expect(host, WELL, "all is well for a load balancer", Host="10.0.0.7")
    assert host.get(DOMAIN, "/healthz", method="HEAD").status in (200, 503)
    assert host.get(DOMAIN, "/healthz", method="POST").status == 405


@pytest.mark.parametrize(("server", "checks"), [("redis", ["cache", "redis"]), ("postgres", ["database"])])
def test_a_server_that_hangs_is_a_503_and_no_worker_that_hangs(host, request, server, checks):
    child = request.getfixturevalue(server).child
    bad = (503, {**WELL[1], "healthy": False, **dict.fromkeys(checks, "timeout")})

    def is_told_soon():
        began = time.monotonic()
        return health(host) == bad and time.monotonic() - began < 10  # of 1 s

    stop_all(child, signal.SIGSTOP)
    try:
        wait_for(is_told_soon, SOON_S, "it is seen")
    finally:
        stop_all(child, signal.SIGCONT)
    for _ in range(4):  # two workers
        expect(host, WELL, "it is well again")


def stop_all(child, number):
    """PostgreSQL's backends, too: the parent accepts, and they answer."""
    for pid in [child.pid, *children_of(child.pid)]:
        os.kill(pid, number)


def test_a_reload_asks_it(host):
    assert host.amyctl("reload", DOMAIN).returncode == 0


def test_errors_tell_their_kind_alone(site, host):
    """With settings that hold a password, as a person would look at it."""
    script = """
import os, json
os.environ["DATABASE_URL"] = "postgresql://somebody:s3cr3t@127.0.0.1:1/x"
os.environ["AMY_REDIS_URL"] = "redis://:s3cr3t@127.0.0.1:1/0"
import config.wsgi
from django.test import Client
answer = Client().get("/healthz", headers={"host": "any"})
while b"timeout" in answer.content:  # a busy machine
    answer = Client().get("/healthz", headers={"host": "any"})
print(answer.status_code, answer.content.decode())
"""
    told = site.run("python", "-c", script, user=host.user)
    status, _, body = told.strip().partition(" ")
    assert status == "503"
    assert json.loads(body) == {"healthy": False, "database": "OperationalError",
                                "cache": "ConnectionError", "redis": "ConnectionError"}


def test_own_checks_deadlines_and_what_is_not_asked_twice(site, host):
    script = """
import json, threading, time
import config.wsgi
from amy.contrib.django.health import Health

calls, gate = [], threading.Event()

def slow():
    calls.append(1)
    gate.wait(60)

def broken():
    raise LookupError("s3cr3t")

health = Health({"slow": slow, "broken": broken, "fine": lambda: None}, 0.2, 0.0)

def report():
    # When what comes back has come back, which takes its time on a busy machine.
    while "timeout" in (now := health.report())["broken"] + now["fine"]:
        pass
    return now

print(json.dumps([report(), report(), len(calls)]))
gate.set()
end = time.monotonic() + 60
while (now := report())["slow"] != "ok" and time.monotonic() < end:
    pass
print(json.dumps([now, threading.active_count() < 10]))
kept = Health({"one": lambda: calls.append(1)}, 60.0, 3600.0)
calls.clear()
print(json.dumps([kept.report(), kept.report(), len(calls)]))
"""
    first, second, third = map(json.loads, site.run("python", "-c", script, user=host.user).splitlines())
    late = {"slow": "timeout", "broken": "LookupError", "fine": "ok"}
    assert first == [late, late, 1]
    assert second == [{**late, "slow": "ok"}, True]
    assert third == [{"one": "ok"}, {"one": "ok"}, 1]
