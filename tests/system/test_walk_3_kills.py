"""The walk, 3: kill -9 of everything, one after the other, under load."""

import os
import signal
import threading

import pytest
from hosting import walk
from hosting.load import PlainLoad
from hosting.rawhttp import Broken
from hosting.wait import wait_for
from support import (BEAT_WORKER, TINY, TINY_YAML, add_to_workers, children_of, command_line,
                     deploy_tiny, expect_one_at_a_time, is_alive, processes_below)

SOON_S = 30
BEATING = add_to_workers(TINY_YAML, BEAT_WORKER)


def web(host):
    return walk.workers_of(host.status(), TINY, "web")


def slots(host):
    return walk.site_parts(host.status(), TINY)["slots"]["web"]


def fronts(host):
    return walk.merged(host.status(), "processes")


class Slow:
    """A request that takes its time, on its own connection and thread."""

    def __init__(self, host, seconds):
        self.result = None
        self.connection = host.connect(TINY, tls=False)
        self.connection.request("GET", f"/slow?s={seconds}", {"Host": TINY})
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            self.result = self.connection.read_response().status
        except Broken as broken:
            self.result = broken.kind

    def outcome(self):
        self.thread.join(60)
        self.connection.close()
        return self.result


@pytest.mark.parametrize("victim", ["arbiter", "child"])
def test_killed_worker_fails_only_what_it_had_started(running, victim):
    slow = [Slow(running, 5), Slow(running, 5)]
    wait_for(lambda: slots(running)["busy"] == 2, SOON_S, "both slots are busy")
    with PlainLoad(running, TINY, ["/fixed"], connections=4) as load:
        wait_for(lambda: slots(running)["queued"] >= 4, SOON_S, "requests wait for a slot")
        before = web(running)[0]
        target = before["pid"] if victim == "arbiter" else children_of(before["pid"])[0]
        os.kill(target, signal.SIGKILL)
        outcomes = sorted(str(one.outcome()) for one in slow)
        wait_for(lambda: all(worker["state"] == "ready" for worker in web(running)),
                 SOON_S, "all workers are ready again")
        report = load.stop()
    assert outcomes == ["200", "502"], outcomes
    assert report.lost == 0 and set(report.by_status) == {200}, report
    assert report.answered > 0
    after = web(running)[0]
    if victim == "arbiter":
        assert after["pid"] != before["pid"] and after["restarts"] == before["restarts"] + 1
    wait_for(lambda: slots(running)["busy"] == 0, SOON_S, "no slot stays claimed")


def test_killed_front_process_ends_its_connections_only(running):
    with PlainLoad(running, TINY, ["/fixed"], connections=16) as load:
        wait_for(lambda: sum(front["requests"] for front in fronts(running)) > 200,
                 SOON_S, "load arrives")
        victim = fronts(running)[0]
        # Each held connection can lose the one request that is under way on it.
        held = victim["connections"]
        os.kill(victim["pid"], signal.SIGKILL)
        wait_for(lambda: fronts(running)[0]["pid"] != victim["pid"]
                 and fronts(running)[0]["state"] == "ready", SOON_S, "a new front process")
        seen = fronts(running)[0]["requests"]
        # The load keeps its connections: new ones come to the new process, too.
        wait_for(lambda: running.get(TINY, "/fixed", tls=False).status == 200
                 and fronts(running)[0]["requests"] > seen, SOON_S,
                 "the new one serves from the same listeners")
        report = load.stop()
    assert set(report.by_status) == {200}, report
    assert set(report.failed) <= {"reset", "closed", "torn"}, report
    assert report.lost <= held < 16, (held, str(report))
    wait_for(lambda: slots(running)["busy"] == 0, SOON_S, "no slot stays claimed")


def test_killed_front_process_frees_its_slots(running):
    slow = [Slow(running, 3) for _ in range(2)]
    wait_for(lambda: slots(running)["busy"] == 2, SOON_S, "both slots are busy")
    for front in fronts(running):
        os.kill(front["pid"], signal.SIGKILL)
    for one in slow:
        assert one.outcome() in {"reset", "closed"}
    wait_for(lambda: slots(running)["busy"] == 0, SOON_S, "no slot stays claimed")
    wait_for(lambda: running.get(TINY, tls=False).status == 200, SOON_S, "it serves again")


def test_killed_front_master_leaves_nothing_and_comes_back(running):
    children = [front["pid"] for front in fronts(running)]
    workers = {worker["pid"] for worker in web(running)}
    running.front.kill()
    wait_for(lambda: not any(map(is_alive, children)), SOON_S, "its processes end with it")
    assert running.workers.code is None
    running.start_front()
    wait_for(lambda: running.get(TINY, tls=False).status == 200, SOON_S, "it serves again")
    assert {worker["pid"] for worker in web(running)} == workers, "the workers went on"


def test_next_front_master_serves_beside_those_who_finish(running):
    """As its unit starts it: at once. They keep no port, but their visitors."""
    slow = Slow(running, 5)
    wait_for(lambda: slots(running)["busy"] == 1, SOON_S, "a slot is busy")
    running.front.kill()
    running.start_front()
    # Not from a worker: it cannot know which of them is busy.
    assert running.get("nobody.localhost", tls=False).status == 421
    assert slow.result is None, "it is not over yet"
    assert slow.outcome() == 200


def test_killed_workers_master_comes_back_and_the_front_goes_on(running):
    workers = [worker["pid"] for worker in web(running)]
    serving = [front["pid"] for front in fronts(running)]
    running.workers.kill()
    wait_for(lambda: not any(map(is_alive, workers)), SOON_S, "its workers end with it")
    answer = running.get(TINY, tls=False)
    assert answer.status == 503 and b"One moment" in answer.body, "no connection error"
    assert [front["pid"] for front in fronts(running)] == serving, "the front goes on"
    running.start_workers()
    wait_for(lambda: running.get(TINY, tls=False).status == 200, SOON_S, "it serves again")
    wait_for(lambda: slots(running) | {"oldest_ms": 0}
             == {"total": 2, "busy": 0, "queued": 0, "oldest_ms": 0, "tunnels": 0},
             SOON_S, "two free slots, and no more")


@pytest.mark.parametrize("delay_ms", [0, 1, 3, 10, 30])
def test_front_master_killed_during_a_bundle_exchange(running, delay_ms):
    running.front.send(signal.SIGHUP)
    threading.Event().wait(delay_ms / 1000)  # where in the exchange it strikes
    running.front.kill()
    wait_for(lambda: not [pid for pid in processes_below(running.root)
                          if "amy-front" in command_line(pid)], SOON_S, "nothing is left")
    running.start_front()
    assert running.get(TINY, tls=False).status == 200


def test_front_process_killed_during_a_bundle_exchange(running):
    for _ in range(5):
        victim = fronts(running)[1]["pid"]
        running.front.send(signal.SIGHUP)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: fronts(running)[1]["pid"] != victim
                 and fronts(running)[1]["state"] == "ready", SOON_S, "a new front process")
        assert running.get(TINY, tls=False).status == 200


@pytest.mark.parametrize("first", ["front", "workers"])
def test_either_daemon_may_start_first(tiny, first):
    if first == "front":
        tiny.start_front()
        assert tiny.get(TINY, tls=False).status == 503, "down.html until there are workers"
        tiny.start_workers()
    else:
        tiny.start_workers()
        tiny.start_front()
    wait_for(lambda: tiny.get(TINY, tls=False).status == 200, SOON_S, "it serves")


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_scheduler_never_runs_twice(new_host, django_venv, how):
    host = new_host()
    site = deploy_tiny(host, TINY, django_venv, BEATING, BEAT_DRAIN="1.5")
    host.start_workers()
    for _ in range(3):
        (host.workers.kill if how == "kill" else host.workers.stop)()
        host.start_workers()
    scheduler = walk.workers_of(host.status(), TINY, "scheduler")
    assert len(scheduler) == 1
    host.workers.kill()
    host.start_workers()
    assert expect_one_at_a_time(site) >= 4, "the fault was injected"


def test_killed_scheduler_is_replaced(new_host, django_venv):
    host = new_host()
    deploy_tiny(host, TINY, django_venv, BEATING)
    host.start_workers()
    victim = walk.workers_of(host.status(), TINY, "scheduler")[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: (now := walk.workers_of(host.status(), TINY, "scheduler")[0])["pid"] != victim
             and now["state"] == "ready", SOON_S, "a new scheduler")
    assert not is_alive(victim)
