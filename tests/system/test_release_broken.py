"""A release that is broken, in eight ways, reloaded under load: nobody loses an
answer, the reason is told, the old generation serves on, a good one follows."""

import re

import pytest
from hosting.host import Host
from hosting.release import BROKEN, Releases
from hosting.wait import wait_for
from releasing import (DJANGO_RATE, SOON_S, expect_answers_of, expect_reload, expect_whole,
                       generations, load_of, parts, pids, reload, reload_state, serving)
from support import close_host, serve_demo

PATH = "/slow/?s=0"

# How it is broken: the reason that is told, and what the worker itself said
# last ("" where nothing of it ever ran).
TOLD = {
    "import": ("web", "ModuleNotFoundError: No module named 'no_such_module'"),
    "ready": ("exited with code 7", "it dies after READY"),
    "health": ("500", "no such column: entry.mood"),
    "hang": ("gave no answer within 15000 ms", "waits for a service that is not there"),
    "third": ("closed", "the third request is one too many"),
    "venv": ("web", "No module named 'gunicorn'"),
    "postactivate": ("postactivate", "the vault is sealed"),
    "setting": ("web", "KeyError: 'SITE_BROKER_URL'"),
}


def short_times(yaml):
    """Plain HTTP for the load; a hang and a bake that a test can wait for."""
    for old, new in (("http: redirect ", "http: serve "),
                     ("any_host: true}", "any_host: true, bake: 1s}"),
                     ("timeout: 30s}", "timeout: 30s, boot_timeout: 15s}")):
        assert old in yaml, old
        yaml = yaml.replace(old, new)
    return yaml


@pytest.fixture(scope="module")
def released(session_root, counter, django_venv, postgres, redis):
    host = Host(session_root / f"h{next(counter)}")
    try:
        yield serve_demo(host, django_venv, postgres, redis, short_times)
    finally:
        close_host(host)


def said(site):
    return (site.logs / "gunicorn_supervisor.log").read_text()


@pytest.mark.parametrize("how", BROKEN)
def test_broken_release_is_refused_under_load(released, how):
    host, domain = released.host, released.domain
    releases = Releases(released.site)
    old = serving(host, domain, PATH)
    before, running = pids(host, domain), generations(host, domain)
    reason, line = TOLD[how]
    logged = said(released.site).count(line)
    with load_of(host, domain, [PATH, "/"], rate=DJANGO_RATE) as load:
        releases.deploy(how, base=old)
        refused = reload(host, domain)
        report = load.stop()
    assert refused.code == 1, str(refused)
    assert reason in refused.err and line in refused.err, str(refused)
    if how != "postactivate":
        # A line may be kept for a moment, for more of its traceback.
        wait_for(lambda: said(released.site).count(line) > logged, SOON_S,
                 "the fault was injected")
    assert report.lost == 0 and set(report.by_status) == {200}, report
    assert report.answered > 0, report
    # The old generation is what it was, and complete.
    expect_whole(host, domain)
    assert pids(host, domain) == before and generations(host, domain) == running
    expect_answers_of(host, domain, old, PATH)
    state = reload_state(host, domain)
    assert state["state"] == "failed" and reason in state["reason"], state
    # A generation begins with its environment: without one it has no number.
    assert state["generation"] == max(running) + (how != "postactivate"), (state, running)
    # And a good one goes through.
    good = releases.deploy(base=old)
    expect_reload(host, domain)
    expect_whole(host, domain)
    expect_answers_of(host, domain, good, PATH)
    assert not parts(host, domain).get("error"), parts(host, domain)


def stylesheet(stage):
    page = stage.get("/", tls=False)
    return re.search(r'href="(/static/pages/site\.[0-9a-f]+\.css)"', page.text)[1]


def test_pages_find_their_files_before_and_after(released):
    releases = Releases(released.site)
    old = stylesheet(released)
    number = releases.make(base=serving(released.host, released.domain, PATH))
    css = releases.path(number) / "pages/static/pages/site.css"
    css.write_text(css.read_text() + f"/* {number} */\n")
    released.site.manage("collectstatic", "--noinput", "--verbosity", "0",
                         release=releases.path(number))
    releases.switch(number)
    assert stylesheet(released) == old
    assert released.get(old, tls=False).status == 200
    expect_reload(released.host, released.domain)
    new = stylesheet(released)
    assert new != old
    assert released.get(new, tls=False).text.endswith(f"/* {number} */\n")
    assert released.get(old, tls=False).status == 200, "pages that are open still need it"


def test_release_that_dies_among_visitors_is_taken_back(released):
    """It passed its probes. It may take along the one request that it had. The load
    is as much as there can be: it has to come to its tenth request in time."""
    host, domain = released.host, released.domain
    releases = Releases(released.site)
    old, before = serving(host, domain, PATH), pids(host, domain)
    releases.add_code(number := releases.make(base=old), """\
import itertools
import os
import signal

fine, requests = application, itertools.count(1)


def application(environ, start_response):
    if next(requests) == 10:
        os.kill(os.getppid(), signal.SIGKILL)
    return fine(environ, start_response)
""")
    releases.switch(number)
    with load_of(host, domain, [PATH], rate=None) as load:
        refused = reload(host, domain)
        report = load.stop()
    assert refused.code == 1 and "SIGKILL" in refused.err, str(refused)
    # The one visitor whose worker died: unanswered, or in the middle of it (0047).
    assert set(report.by_status) <= {200, 502} and set(report.failed) <= {"torn"}, report
    assert report.by_status[502] + report.lost <= 1, report
    expect_whole(host, domain)
    assert pids(host, domain) == before
    releases.switch(old)


def test_refused_release_does_not_come_up_with_a_new_supervisor(released):
    """As after a reboot: `repo` still leads to what was refused."""
    host, domain = released.host, released.domain
    releases = Releases(released.site)
    old = serving(host, domain, PATH)
    releases.deploy("import", base=old)
    assert reload(host, domain).code == 1
    with load_of(host, domain, [PATH], rate=DJANGO_RATE) as load:
        host.workers.kill()
        host.start_workers(ready=False)
        wait_for(lambda: reload_state(host, domain)["state"] == "failed", SOON_S, "it is refused")
        expect_whole(host, domain)
        report = load.stop()
    assert report.lost == 0 and set(report.by_status) <= {200, 502, 503}, report
    expect_answers_of(host, domain, old, PATH)
    assert "web 0" in reload_state(host, domain)["reason"]
    releases.switch(old)
    expect_reload(host, domain)


def test_status_shows_a_refused_reload_to_people(released):
    host, domain = released.host, released.domain
    releases = Releases(released.site)
    good = serving(host, domain, PATH)
    releases.deploy("import", base=good)
    assert reload(host, domain).code == 1
    text = host.amyctl("status").stdout
    assert "reload failed" in text and "web 0" in text, text
    releases.switch(good)
    expect_reload(host, domain)
