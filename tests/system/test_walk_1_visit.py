"""The walk, 1: the demo's site as a visitor and an operator meet it."""

import pytest
from hosting import walk
from test_metrics import expect_promtool_takes, metrics, scrape, value

STEPS = [step for step in walk.STEPS if step not in
         (walk.worker_comes_back, walk.front_process_comes_back)]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_step(stage, step):
    step(stage)


@pytest.mark.parametrize("step", [walk.worker_comes_back, walk.front_process_comes_back],
                         ids=lambda step: step.__name__)
def test_step_of_recovery(stage, step):
    step(stage)


def test_forms_work_without_a_browser_too(stage):
    walk.form_signs_guest_book(stage)


def test_forwarded_fields_are_ours(stage):
    lies = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "http", "X-Real-IP": "6.6.6.6",
            "Forwarded": "for=6.6.6.6", "X_Forwarded_For": "6.6.6.6", "Accept": "application/json"}
    seen = stage.get("/request/", headers=lies)
    assert seen.status == 200
    assert "6.6.6.6" not in seen.text
    assert '"scheme": "https"' in seen.text
    assert "127.0.0.1" in seen.text


def test_unknown_host_is_421(stage):
    answer = stage.get("/", headers={"Host": "elsewhere.example"})
    assert answer.status == 421


def test_metrics_of_redis(stage):
    walk.status_tells_of_redis(stage)
    expect_promtool_takes(scrape(stage.host, "workers").text)
    found = metrics(stage.host, "workers")
    assert value(found, "amy_redis_up", site=stage.domain) == 1
    assert value(found, "amy_redis_memory_bytes", site=stage.domain) > 100000
    assert value(found, "amy_redis_last_save_ok", site=stage.domain) == 1
    assert value(found, "amy_rq_workers", site=stage.domain) >= 1
    assert value(found, "amy_rq_jobs", site=stage.domain, queue="default", state="failed") == 0
    assert value(found, "amy_rq_oldest_seconds", site=stage.domain, queue="default") >= 0
