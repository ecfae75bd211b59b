"""What goes wrong during a deployment: whatever it is, the old release serves on
and nobody notices, the exit status says so and standard error why, and nothing is
left of it: no half release, no process, no journal.

One host for all, under load in each case. Migrations, backups and the gate:
test_deploy_django.py.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from deploying import make_tiny
from hosting.host import Host
from hosting.load import PlainLoad
from hosting.wait import wait_for
from support import TINY, close_host

SOON_S = 90
RATE = 60

SICK = """
_well = application


def application(environ, start_response):
    if environ["PATH_INFO"] != "/healthz":
        return _well(environ, start_response)
    start_response("500 Sick", [("Content-Length", "0")])
    return [b""]
"""


class Site:
    """Served by its first release; put as it was before each case."""

    def __init__(self, host, base_venv):
        self.made = make_tiny(host, base_venv)
        self.yaml = self.made.site.yaml.read_text()
        self.first = self.made.repository.git("rev-parse", "HEAD")

    host = property(lambda self: self.made.host)
    repository = property(lambda self: self.made.repository)

    def renew(self):
        self.made.site.write_yaml(self.yaml)
        self.repository.git("reset", "--quiet", "--hard", self.first)
        self.repository.commit("nothing much")

    def configure(self, deploy="", **replaced):
        text = self.yaml.replace("deploy: {", f"deploy: {{{deploy}")
        for old, new in replaced.items():
            assert old in text, text
            text = text.replace(old, new)
        self.made.site.write_yaml(text)

    def change(self, name, text):
        """A commit that appends to a file."""
        self.repository.append(name, text)
        return self.repository.commit(f"changes {name}")

    def processes(self):
        """Of a deployment of this site that are still there."""
        mark = f"AMY_SITE_DIRECTORY={self.made.site.directory}\0".encode()
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                environ = (directory / "environ").read_bytes() + b"\0"
            except OSError:
                continue
            if mark in environ and b"AMY_DEPLOY=" in environ:
                found.append((directory.name, (directory / "cmdline").read_bytes()))
        return found


@pytest.fixture(scope="module")
def shared(session_root, counter, django_venv):
    host = Host(session_root / f"h{next(counter)}")
    try:
        site = Site(host, django_venv)
        host.start_front()
        host.start_workers(ready=False)
        wait_for(lambda: host.daemon_status("workers"), SOON_S, "amy-workers answers")
        site.made.deploy()
        wait_for(lambda: site.made.serving, SOON_S, "the first release serves")
        yield site
    finally:
        close_host(host)


@pytest.fixture
def site(shared):
    shared.renew()
    return shared


class Noticed:
    """What visitors met meanwhile, and how it was before."""

    def __init__(self, site):
        self.site = site
        self.link, self.releases = site.made.link, site.made.releases

    def __enter__(self):
        self.load = PlainLoad(self.site.host, TINY, ["/fixed", "POST /echo"], 4, rate=RATE)
        return self

    def __exit__(self, kind, *_):
        self.report = self.load.stop()
        if kind is None:
            assert self.report.answered > 0, self.report
            assert self.report.lost == 0 and set(self.report.by_status) == {200}, self.report

    def expect_as_before(self):
        made = self.site.made
        assert made.link == self.link and made.serving == self.link.rpartition("/")[2]
        assert made.journal is None and made.releases == self.releases
        wait_for(lambda: not self.site.processes(), SOON_S, "no process of it is left")


def expect_failure(site, step, reason, *words):
    """A deployment that fails at that step for that reason, and changes nothing."""
    with Noticed(site) as noticed:
        done = site.made.deploy(*words, check=False)
    assert done.returncode == 1, done
    assert step in done.stderr and reason in done.stderr, done
    assert "goes on as before" in done.stderr, done.stderr
    noticed.expect_as_before()
    assert f"FAILED at {step}: " in site.made.log
    return done


# ---- the release itself


def test_import_that_fails(site):
    site.change("tiny.py", "\nimport no_such_module\n")
    expect_failure(site, "reload", "exited with code")
    assert "No module named 'no_such_module'" in site.made.log


def test_health_check_that_fails(site):
    site.change("tiny.py", SICK)
    site.configure(**{"bake: 300ms": "bake: 300ms, timeout: 2s"})
    expect_failure(site, "reload", "500")


def test_worker_that_does_not_come_up(site):
    site.change("tiny.py", "\ntime.sleep(600)\n")
    site.configure(**{"count: 2": "count: 2, boot_timeout: 2s"})
    expect_failure(site, "reload", "no answer within 2000 ms")


def test_environment_that_cannot_be_built(site):
    site.repository.write("environment.sh", "#!/bin/sh\necho no such package >&2\nexit 3\n", 0o755)
    site.repository.commit("no environment")
    done = expect_failure(site, "environment", "3")
    assert "no such package" in done.stdout + done.stderr


def test_environment_without_a_server(site):
    """It was built, and is no good."""
    site.repository.write(
        "environment.sh", "#!/bin/sh\nexec /usr/bin/python3 -m venv --without-pip .venv\n", 0o755)
    site.repository.commit("no gunicorn")
    expect_failure(site, "reload", "exited with code 1")
    assert "No module named 'gunicorn'" in site.made.log


# ---- where it comes from, and where it goes


def test_unknown_ref(site):
    expect_failure(site, "fetch", "no-such-branch", "--ref", "no-such-branch")


def test_source_that_is_away(site):
    directory = site.repository.directory
    away = directory.with_name("away")
    directory.rename(away)
    try:
        expect_failure(site, "fetch", "does not appear to be a git repository")
    finally:
        away.rename(directory)


def test_no_room(site):
    site.configure(**{"disk: 1MiB": "disk: 1TiB"})
    expect_failure(site, "checks", "1")


@pytest.mark.root
def test_disk_that_is_full_meanwhile(site, tmp_path):
    """releases/ on a disk of its own, too small for what the release brings."""
    releases = site.made.site.directory / "releases"
    (tmp_path / "saved").mkdir()
    mounts = f"""
        set -e
        mount --bind {releases} {tmp_path}/saved
        mount -t tmpfs -o size=2m,mode=755,uid={site.repository.user.uid} none {releases}
        mkdir {releases.parent / site.made.link}
        mount --bind {tmp_path}/saved/{site.made.serving} {releases.parent / site.made.link}
        exec "$@"
    """
    site.repository.write("large", os.urandom(3 << 20).hex())
    site.repository.commit("large")
    with Noticed(site) as noticed:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mounts, "sh", *map(str, site.host.amyctl_argv("deploy", TINY))],
            capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "fetch" in done.stderr and "No space left" in done.stdout + done.stderr, done
    noticed.expect_as_before()


# ---- hooks and deadlines


def test_hook_before_that_fails(site):
    site.configure("before: [{name: look, run: [sh, -c, 'echo not today; exit 4']}], ")
    expect_failure(site, "look", "4")


def test_hook_that_takes_too_long(site):
    site.configure("before: [{name: long, run: [sh, -c, 'sleep 600 & sleep 600'], timeout: 1s}], ")
    expect_failure(site, "long", "longer than 1s")


def test_hook_that_is_not_there(site):
    site.configure("before: [{name: gone, run: [./no-such-program]}], ")
    expect_failure(site, "gone", "no-such-program")


def test_hook_behind_is_told_and_the_new_one_serves(site):
    site.configure("after: [{name: tell, run: [sh, -c, 'exit 5']}], ")
    with Noticed(site) as noticed:
        done = site.made.deploy(check=False)
    assert done.returncode == 1 and "tell" in done.stderr and "rollback" in done.stderr, done
    assert site.made.link != noticed.link and site.made.serving == site.made.link.rpartition("/")[2]
    assert site.made.journal is None


# ---- amyctl itself


def hold(where):
    """A hook that waits until somebody ends it."""
    return f"{where}: [{{name: hold, run: [sh, -c, 'sleep 600 & sleep 600']}}], "


def begin(site, *wrapper):
    return subprocess.Popen(
        [*wrapper, *map(str, site.host.amyctl_argv("deploy", TINY, "--json"))], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True)


def read_until(child, step):
    for line in child.stdout:
        if f'"{step}"' in line and '"begun"' in line:
            return
    pytest.fail(f"the deployment has no step {step}")


@pytest.mark.parametrize("step", [
    "checks", "fetch", "environment", "variables", "switch", "reload", "record", "clean"])
def test_killed_at(site, step):
    """The next command mends: backwards, or, when the new release serves, forwards."""
    with Noticed(site) as noticed:
        child = begin(site)
        read_until(child, step)
        child.kill()
        child.wait(SOON_S)
        child.stdout.close()
        done = site.made.deploy("--recover", check=False)
    assert done.returncode == 0, done
    made = site.made
    if made.link == noticed.link:
        noticed.expect_as_before()
    else:
        assert step in {"reload", "record", "clean"}, step
        wait_for(lambda: made.serving == made.link.rpartition("/")[2], SOON_S, "the new release serves")
        assert made.journal is None
    # And the next one goes through.
    site.repository.commit("after a kill")
    made.deploy()
    assert made.serving == made.link.rpartition("/")[2]


def test_terminal_that_goes_away(site):
    """It goes on: deploy.log tells the rest."""
    with Noticed(site) as noticed:
        child = begin(site)
        read_until(child, "environment")
        child.send_signal(signal.SIGHUP)
        child.stdout.close()
        assert child.wait(SOON_S) == 0
    assert site.made.link != noticed.link and f"{site.made.link} serves" in site.made.log


def test_workers_are_killed_meanwhile(site):
    """amy-workers is gone when it is to reload: refused or not, the site ends whole."""
    site.configure(hold("before"))
    made = site.made
    child = begin(site)
    read_until(child, "hold")
    site.host.workers.kill()
    wait_for(lambda: [line[:6] for _, line in site.processes()].count(b"sleep\0") == 2, SOON_S, "the hook sleeps")
    (pid,) = {pid for pid, line in site.processes() if line.startswith(b"sh\0")}
    os.kill(int(pid), signal.SIGTERM)
    assert child.wait(SOON_S) == 1
    child.stdout.close()
    site.host.start_workers(ready=False)
    wait_for(lambda: made.serving == made.link.rpartition("/")[2], SOON_S, "the old release serves")
    assert made.journal is None
