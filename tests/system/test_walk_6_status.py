"""The walk, 6: what `amyctl status` tells."""

import json
import os
import signal

import pytest
from hosting import users, walk
from hosting.wait import wait_for
from support import TINY, TINY_YAML, is_alive

SOON_S = 30


def site(host):
    return walk.site_parts(host.status(), TINY)


def test_json_has_every_figure(running):
    # Memory is looked at once a second.
    wait_for(lambda: all(worker["rss_bytes"] > 1 << 20 for pool in site(running)["pools"]
                         if pool["name"] == "web" for worker in pool["workers"]),
             SOON_S, "what the workers weigh")
    status = site(running)
    assert status["gate"]["state"] == "open"
    pool, = [pool for pool in status["pools"] if pool["name"] == "web"]
    assert [worker["position"] for worker in pool["workers"]] == [0, 1]
    for worker in pool["workers"]:
        assert worker["state"] == "ready" and is_alive(worker["pid"])
        assert worker["age_ms"] >= 0 and worker["restarts"] == 0
    assert status["slots"]["web"] == {"total": 2, "busy": 0, "queued": 0, "oldest_ms": 0, "tunnels": 0}
    assert status["certificates"][0]["names"] == [TINY]
    assert status["certificates"][0]["not_after"]
    assert status["problems"] == []
    for front in walk.merged(running.status(), "processes"):
        assert front["state"] == "ready" and is_alive(front["pid"])


def test_text_names_the_same(running):
    text = running.amyctl("status").stdout
    pids = [str(worker["pid"]) for worker in walk.workers_of(running.status(), TINY, "web")]
    for wanted in [TINY, "web", "open", *pids]:
        assert wanted in text, f"{wanted!r} in\n{text}"


def test_restarts_are_counted(running):
    victim = walk.workers_of(running.status(), TINY, "web")[1]
    os.kill(victim["pid"], signal.SIGKILL)
    wait_for(lambda: walk.workers_of(running.status(), TINY, "web")[1]["restarts"] == 1, SOON_S,
             "the restart is counted")
    wait_for(lambda: walk.workers_of(running.status(), TINY, "web")[1]["state"] == "ready", SOON_S,
             "ready again")


def test_problems_of_site_yaml_have_line_and_key(running):
    running.tiny.write_yaml(TINY_YAML.format(domain=TINY, user=running.user.name)
                            + "limitz: {body: 1MiB}\n")
    running.amyctl("reload", TINY, check=False)
    problems = wait_for(lambda: site(running)["problems"], SOON_S, "problems are shown")
    assert any("limitz" in f"{problem.get('key')} {problem['message']}"
               for problem in problems), problems
    assert {problem["line"] for problem in problems} == {TINY_YAML.count("\n") + 1}
    assert running.get(TINY, tls=False).status == 200, "the last accepted copy serves on"
    assert "limitz" in running.amyctl("status").stdout


def test_either_daemon_may_be_missing(running):
    running.workers.stop()
    text = running.amyctl("status", check=False)
    assert TINY in text.stdout and "amy-workers" in text.stdout + text.stderr
    json.loads(running.amyctl("status", "--json", check=False).stdout)


def test_without_daemons_it_says_so(tiny):
    nothing = tiny.amyctl("status", check=False)
    assert nothing.returncode != 0
    assert str(tiny.run) in nothing.stderr


@pytest.mark.root
def test_site_user_sees_the_status(running):
    assert walk.site_parts(running.status(user=running.user), TINY)


def test_unknown_command_is_a_usage_error(tiny):
    assert tiny.amyctl("dance", check=False).returncode == 2
    assert tiny.amyctl("--help").stdout


@pytest.mark.root
def test_unknown_site_is_an_error(running):
    failed = running.amyctl("maintenance", "on", "no-such.example", check=False)
    assert failed.returncode == 1 and "no-such.example" in failed.stderr
    assert users.is_root()
