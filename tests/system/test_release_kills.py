"""Something is killed at each step of a reload, under load.

What may be lost is what the killed process itself had under way, and no more:
- a worker: its one request, which is answered 502, or torn when it had begun to
  answer;
- a front process: the request under way on each connection that it held; their
  master: the same of each of them (a client that connects again at once may meet
  the next one that ends), and attempts to connect until it is there again;
- the supervisor: its workers end with it, after their requests. Others wait for
  the new ones, up to 5 s, and are answered 503 with down.html then.
Nothing runs twice (beat.py), nothing is left over, the site ends whole.
"""

import os
import signal

import pytest
from hosting import walk
from hosting.reload import Reload
from hosting.wait import wait_for
from releasing import (SOON_S, expect_answers_of, expect_reload, expect_whole, load_of, parts,
                       reload_state, serving)
from support import (BEAT_WORKER, TINY, TINY_YAML, add_to_workers, command_line, deploy_released,
                     expect_one_at_a_time, is_alive, processes_below)

CONNECTIONS = 6
COUNT = 2
SLOW_YAML = add_to_workers(
    TINY_YAML.replace("bake: 300ms", "bake: 1s"),
    BEAT_WORKER.replace("}", ", after: [web]}"))
WEB_WORKERS = 2
STEPS = ("environment", "canary", "probe", "bake", "roll", "stop-first")
BEFORE_PUBLISHED = ("environment", "canary", "probe")
# A release that takes its time for every step, so that a test can hit it.
SLOW_CODE = """\
import os
import time

time.sleep(1)
quick = application


def application(environ, start_response):
    if environ["PATH_INFO"] == "/healthz":
        open(os.environ["BEAT_FILE"] + ".asked", "w").close()
        time.sleep(0.6)
    return quick(environ, start_response)
"""


@pytest.fixture
def slow(new_host, django_venv):
    """Serving releases/1, which is quick; releases/2 is slow, and meant."""
    host = new_host()
    host.releases = deploy_released(host, django_venv, SLOW_YAML, BEAT_DRAIN="1.5")
    host.start_workers()
    host.start_front()
    number = host.releases.make()
    with open(host.releases.own_venv(number), "a", encoding="utf-8") as settings:
        settings.write("sleep 1.5\n")
    host.releases.add_code(number, SLOW_CODE)
    host.releases.switch(number)
    return host


def at_each(*steps, kept):
    """Parametrize by the step; all but one take long, and are more of the same."""
    return pytest.mark.parametrize("step", [
        pytest.param(step, marks=() if step == kept else pytest.mark.long) for step in steps])


def is_at(host, step):
    """The probe is the canary's answer to /healthz, before it is published."""
    state = reload_state(host, TINY)["state"]
    asked = (host.releases.site.directory / "beat/beats.asked").exists()
    return state == "canary" and asked if step == "probe" else state == step


class Struck:
    """A reload under load, of which `strike` hits one step; with `meant` it may go
    on after the command has ended, until that release serves."""

    def __init__(self, host, step, strike, meant=None):
        with load_of(host, TINY, connections=CONNECTIONS) as load:
            running = Reload(host, TINY)
            wait_for(lambda: is_at(host, step), SOON_S, step)
            strike(host)
            self.reload = running.wait()
            if meant is not None:
                wait_for(lambda: serving(host, TINY) == meant, SOON_S, f"release {meant} serves")
            expect_whole(host, TINY)
            self.report = load.stop()
        assert self.report.answered > 20, self.report

    def lost_with_its_worker(self, workers=1):
        report = self.report
        assert set(report.by_status) <= {200, 502} and set(report.failed) <= {"torn"}, report
        assert report.by_status[502] + report.lost <= workers, report


def expect_good_end(host, release=2):
    """All of the release meant, one scheduler at a time, and the next reload goes."""
    expect_answers_of(host, TINY, release)
    wait_for(lambda: walk.site_parts(host.status(), TINY)["slots"]["web"]["busy"] == 0,
             SOON_S, "no slot stays claimed")
    host.releases.switch(1)
    expect_reload(host, TINY)
    expect_whole(host, TINY)
    expect_answers_of(host, TINY, 1)
    assert expect_one_at_a_time(host.releases.site) >= 2
    expect_nothing_left(host)


def expect_nothing_left(host):
    """Of two generations' processes only those that status shows, and theirs."""
    meant = {worker["pid"] for pool in parts(host, TINY)["pools"] for worker in pool["workers"]}
    meant |= {front["pid"] for front in walk.merged(host.status(), "processes")}
    meant |= {host.front.pid, host.workers.pid}

    def strangers():
        return [pid for pid in processes_below(host.root)
                if not ancestors(pid) & meant and is_alive(pid)]

    wait_for(lambda: not strangers(), SOON_S,
             f"nothing is left: {[command_line(pid) for pid in strangers()]}")


def ancestors(pid):
    """The process and those above it."""
    found = set()
    while pid > 1:
        found.add(pid)
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                pid = int(stat.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            break
    return found


def web_pids(host, *roles):
    """Of the workers of the pools that have such a role now."""
    return [worker["pid"] for pool in parts(host, TINY)["pools"]
            if pool["name"] == "web" and pool["role"] in roles
            for worker in pool["workers"] if worker["pid"] > 1]


@at_each(*STEPS, kept="roll")
def test_old_worker_is_killed(slow, step):
    """Where all the old ones have gone, nothing is left to kill."""
    def strike(host):
        for victim in web_pids(host, "current", "old")[-1:]:
            os.kill(victim, signal.SIGKILL)

    struck = Struck(slow, step, strike)
    struck.lost_with_its_worker()
    assert struck.reload.code == 0, str(struck.reload)
    expect_good_end(slow)


@at_each("canary", "probe", "bake", "roll", kept="bake")
def test_new_worker_is_killed(slow, step):
    """It is refused by that: whoever has a good old generation has no reason to hope."""
    def strike(host):
        os.kill(web_pids(host, "next")[0], signal.SIGKILL)

    struck = Struck(slow, step, strike)
    struck.lost_with_its_worker(0 if step in BEFORE_PUBLISHED else 1)
    state = reload_state(slow, TINY)
    assert struck.reload.code == 1 and "SIGKILL" in struck.reload.err, str(struck.reload)
    assert state["state"] == "failed", state
    expect_good_end(slow, 1)


@at_each(*STEPS, "settle", kept="stop-first")
def test_supervisor_is_killed(slow, step):
    """The next one begins with what served last, and then goes on to what is meant.
    What stood unread before a worker that the kernel told to go is lost (0047)."""
    def strike(host):
        host.workers.kill()
        host.start_workers(ready=False)

    struck = Struck(slow, step, strike, meant=2)
    report = struck.report
    assert report.lost == 0 and set(report.by_status) <= {200, 502, 503}, report
    assert report.by_status[502] <= 2 * WEB_WORKERS, report
    assert struck.reload.code == 1 and "amy-workers" in struck.reload.err, str(struck.reload)
    expect_good_end(slow)


@at_each(*STEPS, "settle", kept="bake")
def test_front_process_is_killed(slow, step):
    def strike(host):
        victim = walk.merged(host.status(), "processes")[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: (now := walk.merged(host.status(), "processes")[0])["pid"] != victim
                 and now["state"] == "ready", SOON_S, "a new front process")

    struck = Struck(slow, step, strike)
    report = struck.report
    assert set(report.by_status) == {200}, report
    assert set(report.failed) <= {"reset", "closed", "torn"}, report
    assert report.lost <= CONNECTIONS, report
    assert struck.reload.code == 0, str(struck.reload)
    expect_good_end(slow)


@at_each(*STEPS, "settle", kept="roll")
def test_front_master_is_killed(slow, step):
    def strike(host):
        host.front.kill()
        wait_for(lambda: not [pid for pid in processes_below(host.root)
                              if "amy-front" in command_line(pid)], SOON_S, "the front is gone")
        host.start_front()

    struck = Struck(slow, step, strike)
    report = struck.report
    assert set(report.by_status) == {200}, report
    assert report.lost - report.failed["connect"] <= CONNECTIONS * slow.processes, report
    assert struck.reload.code == 0, str(struck.reload)
    expect_good_end(slow)
