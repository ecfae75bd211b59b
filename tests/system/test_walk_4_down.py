"""The walk, 4: the application does not answer."""

import pytest
from hosting import walk
from hosting.wait import wait_for
from support import TINY, TINY_YAML, children_of, deploy_tiny

SOON_S = 30
DOWN = b"<title>One moment</title>"


def test_stopped_application_gives_down_page_and_comes_back(running):
    running.workers.stop()
    for tls in (True, False):
        answer = running.get(TINY, tls=tls)
        assert answer.status == 503 and DOWN in answer.body, answer.text[:200]
        assert answer.get("content-type").startswith("text/html")
        assert int(answer.get("retry-after")) > 0
        assert "no-store" in answer.get("cache-control")
    head = running.get(TINY, method="HEAD", tls=False)
    assert head.status == 503 and head.body == b""
    running.start_workers()
    wait_for(lambda: running.get(TINY, tls=False).status == 200, SOON_S, "back by itself")


def test_without_a_down_page_there_is_a_built_in_one(tiny):
    (tiny.tiny.directory / "down.html").unlink()
    tiny.start_front()
    answer = tiny.get(TINY, tls=False)
    assert answer.status == 503
    assert answer.get("content-type").startswith("text/html") and answer.body


def test_timeout_is_504_with_the_down_page(new_host, django_venv):
    host = new_host()
    deploy_tiny(host, TINY, django_venv, TINY_YAML
                + "routes:\n  - {{path: /slow, pool: web, timeout: 1s}}\n")
    host.start_workers()
    host.start_front()
    answer = host.get(TINY, "/slow?s=4", tls=False)
    assert answer.status == 504 and DOWN in answer.body
    assert host.get(TINY, tls=False).status == 200, "the other worker is free"
    busy = walk.site_parts(host.status(), TINY)["slots"]["web"]["busy"]
    assert busy == 1, "the slot is the worker's until it is done with the request"
    wait_for(lambda: walk.site_parts(host.status(), TINY)["slots"]["web"]["busy"] == 0,
             SOON_S, "the slot is free when the worker is done")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_errors_of_the_application_pass_with_its_own_words(running, status):
    answer = running.get(TINY, f"/status?c={status}", tls=False)
    assert answer.status == status
    assert answer.body == b"the application's own words\n"


def test_application_that_cannot_start_shows_why(new_host, django_venv):
    host = new_host()
    site = deploy_tiny(host, TINY, django_venv)
    good = (site.repo / "tiny.py").read_text()
    (site.repo / "tiny.py").write_text("raise RuntimeError('broken on purpose')\n")
    host.start_workers(ready=False)
    host.start_front()
    assert host.get(TINY, tls=False).status == 503

    def reason():
        workers = walk.workers_of(host.status(), TINY, "web")
        return workers and all(worker["restarts"] > 0 for worker in workers) and workers

    workers = wait_for(reason, SOON_S, "the worker was tried more than once")
    assert any(worker["reason"] for worker in workers), workers
    log = (site.logs / "gunicorn_supervisor.log").read_text()
    assert "broken on purpose" in log
    (site.repo / "tiny.py").write_text(good)
    wait_for(lambda: host.get(TINY, tls=False).status == 200, 60, "mended, it comes by itself")


def test_hung_child_is_replaced_by_its_arbiter(new_host, django_venv):
    host = new_host()
    deploy_tiny(host, TINY, django_venv, TINY_YAML.replace(
        "timeout: 30s", "timeout: 2s, stop: {{patience: 2s}}"))
    host.start_workers()
    host.start_front()
    worker = walk.workers_of(host.status(), TINY, "web")[0]["pid"]
    before = children_of(worker)
    # gunicorn's own timeout of 2 s; the front gives up a second earlier.
    assert host.get(TINY, "/slow?s=20", tls=False).status == 504
    assert host.get(TINY, "/slow?s=20", tls=False).status == 504
    wait_for(lambda: children_of(worker) and children_of(worker) != before, SOON_S,
             "the arbiter replaced its child")
    wait_for(lambda: host.get(TINY, tls=False).status == 200, SOON_S, "it serves")
