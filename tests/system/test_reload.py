"""`amyctl reload`: a new generation takes over, or the old one goes on."""

import os
import signal
import subprocess
import threading

import pytest
from hosting import walk
from hosting.users import clean_environment
from hosting.wait import wait_for
from releasing import load_of
from support import TINY, command_line, deploy_tiny

SOON_S = 30

YAML = """\
site: {domain}
user: {user}
http: serve
health: {{path: /healthz, bake: 300ms, timeout: 3s}}
workers:
  - {{name: web, wsgi: tiny:application, count: 2, timeout: 30s, boot_timeout: 10s}}
"""


@pytest.fixture
def host(new_host, django_venv):
    """The quick site with a short bake, serving."""
    made = new_host()
    made.tiny = deploy_tiny(made, TINY, django_venv, YAML)
    made.start_workers()
    made.start_front()
    return made


def site_of(host):
    return walk.site_parts(host.status(), TINY)


def reload_state(host):
    return site_of(host)["reload"]


def pools(host):
    """{role: [worker, ...]} of `web`."""
    found = {}
    for pool in site_of(host)["pools"]:
        if pool["name"] == "web":
            found.setdefault(pool["role"], []).extend(pool["workers"])
    return found


def pids(workers):
    return {worker["pid"] for worker in workers}


def version(host):
    return host.get(TINY, "/version", tls=False).body.decode().strip()


def change(host, text, start="", health="200 OK"):
    """A new release in place: answers /version with `text`; `start` runs at
    import."""
    source = (host.tiny.repo / "tiny.py").read_text().partition("\n# release\n")[0]
    release = f"""
# release
{start}
_whole = application


def application(environ, start_response):
    answers = {{"/version": "200 OK", "/healthz": "{health}"}}
    if environ["PATH_INFO"] not in answers:
        return _whole(environ, start_response)
    start_response(answers[environ["PATH_INFO"]], [("Content-Type", "text/plain")])
    return [b"{text}\\n"]
"""
    new = host.tiny.repo / "tiny.py.new"
    new.write_text(source + release)
    new.chmod(0o644)
    new.rename(host.tiny.repo / "tiny.py")


def begin(host, *arguments):
    return subprocess.Popen(list(map(str, host.amyctl_argv("reload", *arguments))), text=True,
                            env=clean_environment(), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def end(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.long
def test_good_release_takes_over_without_losing_a_request(host):
    before = pools(host)["current"]
    change(host, "two")
    with load_of(host, TINY, ["/fixed", "/pid"]) as load:
        done = host.amyctl("reload", TINY)
        report = load.stop()
    assert "reloaded" in done.stdout
    assert report.lost == 0 and set(report.by_status) == {200}, report
    assert report.answered > 0
    after = pools(host)["current"]
    assert len(after) == 2 and not pids(after) & pids(before)
    assert version(host) == "two"
    assert reload_state(host)["state"] == "idle" and reload_state(host)["generation"] == 2
    assert not site_of(host)["changed_in_place"]
    wait_for(lambda: set(pools(host)) == {"current"}, SOON_S, "the old ones end")


def test_broken_import_is_refused_with_the_reason_and_the_last_lines(host):
    before = pids(pools(host)["current"])
    change(host, "two", start="import no_such_module_anywhere")
    with load_of(host, TINY) as load:
        done = host.amyctl("reload", TINY, check=False)
        report = load.stop()
    assert done.returncode == 1
    first = done.stderr.splitlines()[0]
    assert first.startswith(f"amyctl: {TINY}: ") and "web 0 of generation 2" in first, first
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in done.stderr
    assert report.lost == 0 and set(report.by_status) == {200}, report
    assert pids(pools(host)["current"]) == before
    told = reload_state(host)
    assert told["state"] == "failed" and "web 0" in told["reason"], told
    assert "no_such_module" not in str(told), "anybody may read the status"
    shown = host.amyctl("status", TINY).stdout
    assert "reload failed" in shown and f"still served is {host.tiny.repo}" in shown, shown
    # The code is looked at once in a second.
    wait_for(lambda: "repo/ has changed in place: a reload is pending"
             in host.amyctl("status", TINY).stdout, SOON_S, "status says what changed")
    # The next one that is good takes over.
    change(host, "three")
    host.amyctl("reload", TINY)
    assert version(host) == "three" and reload_state(host)["state"] == "idle"


def test_unhealthy_release_is_refused(host):
    before = pids(pools(host)["current"])
    change(host, "two", health="500 Broken")
    done = host.amyctl("reload", TINY, check=False)
    assert done.returncode == 1 and "status 500" in done.stderr, done.stderr
    assert pids(pools(host)["current"]) == before
    wait_for(lambda: set(pools(host)) == {"current"}, SOON_S, "the new one is gone")


def test_worker_that_dies_while_it_bakes_takes_its_generation_along(host):
    yaml = host.tiny.yaml.read_text()
    host.tiny.write_yaml(yaml.replace("bake: 300ms", "bake: 60s"))
    before = pids(pools(host)["current"])
    change(host, "two")
    waiting = begin(host, TINY)
    wait_for(lambda: reload_state(host)["state"] == "bake", SOON_S, "it bakes")
    seen = pools(host)
    assert pids(seen["current"]) == before
    assert [worker["state"] for worker in seen["next"]] == ["ready", "stopped"]
    with load_of(host, TINY) as load:
        wait_for(lambda: version(host) == "two", SOON_S, "visitors meet it")
        restarted = host.amyctl("restart", TINY, "web", check=False)
        assert restarted.returncode == 1 and "under way" in restarted.stderr
        os.kill(seen["next"][0]["pid"], signal.SIGKILL)
        code, _, err = end(waiting)
        report = load.stop()
    assert code == 1 and "killed by SIGKILL" in err, err
    # What it was about to answer when it was killed is all that can be lost:
    # one request, not answered or half answered.
    assert report.lost + report.by_status.get(502, 0) <= 1, report
    assert set(report.by_status) <= {200, 502}, report
    assert pids(pools(host)["current"]) == before
    assert host.get(TINY, "/version", tls=False).status == 404, "the old one"


def test_reload_asked_for_while_one_runs_is_done_after_it(host):
    yaml = host.tiny.yaml.read_text()
    host.tiny.write_yaml(yaml.replace("bake: 300ms", "bake: 3s"))
    change(host, "two")
    first = begin(host, TINY)
    wait_for(lambda: reload_state(host)["state"] == "bake", SOON_S, "it bakes")
    host.tiny.write_yaml(yaml)
    change(host, "three")
    others = [begin(host, TINY) for _ in range(3)]
    assert end(first)[0] == 0
    for other in others:
        code, _, err = end(other)
        assert code == 0, err
    # Three who asked meanwhile get one more generation, not three.
    assert reload_state(host)["generation"] == 3
    assert version(host) == "three"


@pytest.mark.long
def test_ten_hangups_on_end_lose_nothing(host):
    change(host, "two")
    with load_of(host, TINY) as load:
        for _ in range(10):
            host.workers.send(signal.SIGHUP)
            threading.Event().wait(0.02)
        wait_for(lambda: reload_state(host)["generation"] >= 2
                 and reload_state(host)["state"] == "idle"
                 and set(pools(host)) == {"current"}, 120, "it is over")
        report = load.stop()
    assert report.lost == 0 and set(report.by_status) == {200}, report
    assert reload_state(host)["generation"] <= 4, "coalesced"
    assert version(host) == "two"


@pytest.mark.long
def test_scheduler_is_never_there_twice(new_host, django_venv):
    host = new_host()
    yaml = YAML + "  - {{name: scheduler, command: [python, beat.py], replace: stop-first}}\n"
    host.tiny = deploy_tiny(host, TINY, django_venv, yaml, BEAT_DRAIN="1")
    host.start_workers()
    host.start_front()
    for _ in range(3):
        host.amyctl("reload", TINY)
        running = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
                   if "beat.py" in command_line(pid) and f"/{host.root.name}/" in
                   os.readlink(f"/proc/{pid}/cwd")]
        assert len(running) == 1, running
    beats = (host.tiny.directory / "beat/beats").read_text().split("\n")[:-1]
    lives = {}
    for line in beats:
        pid, when = line.split()
        first, last = lives.get(pid, (float(when), float(when)))
        lives[pid] = (min(first, float(when)), max(last, float(when)))
    ordered = sorted(lives.values())
    assert len(ordered) >= 4
    for (_, finish), (start, _) in zip(ordered, ordered[1:]):
        assert start >= finish, lives


def test_reload_without_its_supervisor(host):
    """It fails where there are workers; where there are none, nobody is missed."""
    assert host.workers.stop() == 0
    for words in (("reload", TINY), ("reload",)):
        done = host.amyctl(*words, check=False)
        assert done.returncode == 1 and "reloaded" not in done.stdout, done
        assert "amy-workers does not run" in done.stderr, done
    host.tiny.write_yaml(f"site: {TINY}\nuser: {host.user.name}\nhttp: serve\n")
    for words in (("reload", TINY), ("reload",)):
        done = host.amyctl(*words, check=False)
        assert done.returncode == 0 and not done.stderr, done
