"""The walk, 2: the maintenance gate, opened and closed by amyctl and by mv."""

import os
import subprocess
import time

import pytest
from hosting import users, walk
from hosting.load import PlainLoad, fnv1a
from hosting.rawhttp import format_request
from hosting.users import as_user
from hosting.wait import wait_for
from support import TINY, TINY_YAML, deploy_tiny

SEEN_S = 20  # ten times what inotify and the slow look behind it need
TOGGLES = 100


@pytest.fixture
def page(running):
    return running.tiny.maintenance_off.read_bytes()


@pytest.fixture(scope="module")
def closed(host_for_module, django_venv):
    """A closed site for the tests that only ask: (host, page)."""
    host = host_for_module
    site = deploy_tiny(host, TINY, django_venv)
    challenges = site.directory / "acme/.well-known/acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / "token").write_bytes(b"token.thumbprint")
    host.start_workers()
    host.start_front()
    page = site.maintenance_off.read_bytes()
    close(host)
    return host, page


def close(host):
    host.amyctl("maintenance", "on", TINY)


def open_(host):
    host.amyctl("maintenance", "off", TINY)


def is_closed(host):
    return host.get(TINY, tls=False).status == 503


def is_open(host):
    return host.get(TINY, tls=False).status == 200


@pytest.mark.parametrize("method, path, body", [
    ("GET", "/", b""), ("HEAD", "/", b""), ("OPTIONS", "/", b""), ("DELETE", "/x", b""),
    ("POST", "/echo", bytes(20_000_000)), ("PUT", "/echo", b"x"), ("GET", "/static/a.css", b""),
    ("GET", "/no/such/path", b""), ("GET", "/?query=1", b""), ("PROPFIND", "/", b""),
], ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else value)
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_every_request_gets_the_page(closed, method, path, body, tls):
    host, page = closed
    walk.expect_page(host.get(TINY, path, method, body=body, tls=tls), page, method)


def test_options_of_the_server_gets_the_page(closed):
    host, page = closed
    walk.expect_page(host.get(TINY, "*", "OPTIONS", tls=False), page, "OPTIONS")


def test_pipelined_requests_get_the_page_each(closed):
    host, page = closed
    with host.connect(TINY, tls=False) as connection:
        connection.send(format_request("GET", "/", {"Host": TINY}) * 5
                        + format_request("HEAD", "/", {"Host": TINY})
                        + format_request("GET", "/last", {"Host": TINY}))
        for method in ["GET"] * 5 + ["HEAD", "GET"]:
            walk.expect_page(connection.read_response(method), page, method)


def test_expectation_is_answered_by_the_page_at_once(closed):
    host, page = closed
    with host.connect(TINY, tls=False) as connection:
        connection.send(format_request("POST", "/echo", {
            "Host": TINY, "Expect": "100-continue", "Content-Length": "1000000"}))
        answer = connection.read_response("POST")
    assert answer.interim == []
    walk.expect_page(answer, page, "POST")


@pytest.mark.parametrize("accept, wanted", [
    (None, "text/html"), ("*/*", "text/html"), ("text/html", "text/html"),
    ("application/json", "application/problem+json"),
    ("application/problem+json", "application/problem+json"),
    ("text/html;q=0.5, application/json", "application/problem+json"),
    ("application/json;q=0.5, text/html", "text/html"),
    ("application/json, */*;q=0.1", "application/problem+json"),
])
def test_form_of_the_page_follows_accept(closed, accept, wanted):
    host, _ = closed
    answer = host.get(TINY, headers={"Accept": accept} if accept else {}, tls=False)
    assert answer.status == 503
    assert answer.get("content-type").startswith(wanted)
    assert "accept" in (answer.get("vary") or "").lower()


def test_challenges_and_listed_paths_and_assets_pass(closed):
    host, _ = closed
    assert host.get(TINY, "/healthz", tls=False).status == 200
    assert host.get(TINY, "/maintenance/icon.svg", tls=False).status == 200
    for tls in (True, False):
        challenge = host.get(TINY, "/.well-known/acme-challenge/token", tls=tls)
        assert (challenge.status, challenge.body) == (200, b"token.thumbprint")
        assert host.get(TINY, "/.well-known/acme-challenge/other", tls=tls).status == 404
    # Of that name, and no more: these are the site's.
    for path in ("/.well-known/acme-challenge", "/.well-known/other", "/healthz/", "/maintenance"):
        assert host.get(TINY, path, tls=False).status == 503, path


def test_gate_comes_before_the_redirect_to_https(running):
    page = running.tiny.maintenance_off.read_bytes()
    running.tiny.write_yaml(TINY_YAML.format(domain=TINY, user=running.user.name)
                            .replace("http: serve", "http: redirect"))
    running.amyctl("reload", TINY)
    assert running.get(TINY, tls=False).status == 301
    assert running.get(TINY, "/", "POST", body=b"x", tls=False).status == 308
    close(running)
    walk.expect_page(running.get(TINY, tls=False), page, "GET")


def test_retry_after_is_that_of_site_yaml(running):
    running.tiny.write_yaml(TINY_YAML.format(domain=TINY, user=running.user.name)
                            .replace("gate: {", "gate: {retry_after: 77s, "))
    running.amyctl("reload", TINY)
    close(running)
    assert running.get(TINY, tls=False).get("retry-after") == "77"


def test_request_under_way_finishes(running):
    with running.connect(TINY, tls=False) as connection:
        connection.request("GET", "/slow?s=2", {"Host": TINY})
        wait_for(lambda: walk.site_parts(running.status(), TINY)["slots"]["web"]["busy"] == 1,
                 SEEN_S, "the slow request has its slot")
        close(running)
        assert is_closed(running)
        assert connection.read_response().status == 200


def test_mv_by_whoever_deploys_closes_and_opens(running, page):
    running.tiny.maintenance_off.rename(running.tiny.maintenance_on)
    wait_for(lambda: is_closed(running), SEEN_S, "closed by mv")
    walk.expect_page(running.get(TINY, tls=False), page, "GET")
    gate = walk.site_parts(running.status(), TINY)["gate"]
    assert gate["state"] == "closed" and gate["by"] == ""
    running.tiny.maintenance_on.rename(running.tiny.maintenance_off)
    wait_for(lambda: is_open(running), SEEN_S, "opened by mv")


@pytest.mark.root
def test_site_user_may_use_amyctl_and_not_mv(running):
    site = running.tiny
    moved = subprocess.run(as_user(running.user, ["mv", site.maintenance_off, site.maintenance_on]),
                           capture_output=True, check=False)
    assert moved.returncode != 0 and site.maintenance_off.exists()
    running.amyctl("maintenance", "on", TINY, user=running.user)
    assert is_closed(running)
    assert walk.site_parts(running.status(), TINY)["gate"]["by"] == running.user.name
    running.amyctl("maintenance", "off", TINY, user=running.user)
    assert is_open(running)


@pytest.mark.root
def test_strangers_may_not_use_amyctl(running):
    for name in ("nobody", users.FRONT_USER):
        refused = running.amyctl("maintenance", "on", TINY, user=users.User.named(name),
                                 check=False)
        assert refused.returncode != 0
        assert refused.stderr.strip(), "a refusal says who may"
    assert is_open(running)


def test_on_and_off_rename_the_page_and_twice_is_no_error(running, page):
    names = running.tiny.maintenance_off, running.tiny.maintenance_on
    for command, status in (("on", 503), ("on", 503), ("off", 200), ("off", 200)):
        running.amyctl("maintenance", command, TINY)
        assert running.get(TINY, tls=False).status == status
        assert [name.exists() for name in names] == [status == 200, status == 503]
        assert names[status == 503].read_bytes() == page


def test_gate_outlives_a_restart_of_either_daemon(running, page):
    close(running)
    running.front.stop()
    running.start_front()
    walk.expect_page(running.get(TINY, tls=False), page, "GET")
    running.workers.stop()
    running.start_workers()
    walk.expect_page(running.get(TINY, tls=False), page, "GET")


def test_100_toggles_under_load_lose_and_tear_nothing(new_host, django_venv):
    host = new_host(processes=4)
    site = host.tiny = deploy_tiny(host, TINY, django_venv)
    host.start_workers()
    host.start_front()
    page = site.maintenance_off.read_bytes()
    application = host.get(TINY, "/fixed", tls=False).body
    with PlainLoad(host, TINY, ["/fixed"], connections=16) as load:
        for turn in range(TOGGLES):
            closing = turn % 2 == 0
            (close if closing else open_)(host)
            # One state everywhere at once: the answer of amyctl is its proof.
            for _ in range(4):
                status = host.get(TINY, "/fixed", tls=False).status
                assert status == (503 if closing else 200), f"toggle {turn}"
        report = load.stop()
    assert report.lost == 0 and report.sent == report.answered, report
    assert set(report.bodies) == {(503, fnv1a(page)), (200, fnv1a(application))}, report.bodies
    assert min(report.bodies.values()) >= TOGGLES, "the load met both states: " + str(report)


def test_toggle_shows_since_when_and_by_whom(running):
    before = time.time() * 1000
    close(running)
    gate = walk.site_parts(running.status(), TINY)["gate"]
    assert gate["state"] == "closed"
    assert gate["by"] == users.ourselves().name
    assert before - 2000 <= gate["since_ms"] <= time.time() * 1000 + 2000
    assert gate["since"].startswith("20")
    assert os.stat(running.tiny.maintenance_on).st_size > 0
