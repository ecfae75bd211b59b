"""Metrics: what Prometheus reads, judged by its own tool."""

import json
import re
import shutil
import subprocess
import urllib.request

import pytest
from hosting import users
from hosting.services import free_port
from hosting.site import TOP
from hosting.users import as_user, clean_environment
from hosting.wait import wait_for
from lineage import Lineage
from support import TINY, scrape

SOON_S = 30
METRICS_PAGE = TOP / "docs/api/metrics.md"
LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r"(\w+)=\"((?:[^\"\\\\]|\\\\.)*)\"")


def metrics(host, daemon="front"):
    """{(name, frozenset of labels): value}"""
    found = {}
    for line in scrape(host, daemon).text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = LINE.match(line).groups()
        key = name, frozenset(LABEL.findall(labels or ""))
        assert key not in found, f"twice: {line}"
        found[key] = float(value)
    return found


def value(found, name, **labels):
    """The sum of all that have these labels; None when there is none."""
    matching = [figure for (other, its), figure in found.items()
                if other == name and set(labels.items()) <= its]
    return sum(matching) if matching else None


@pytest.mark.parametrize("daemon", ["front", "workers"])
def test_text_is_what_promtool_takes(running, daemon):
    assert running.get(TINY).status == 200
    answer = scrape(running, daemon)
    assert answer.status == 200
    assert answer.get("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    assert len(metrics(running, daemon)) >= 3
    expect_promtool_takes(answer.text)


def expect_promtool_takes(text):
    """And docs/api/metrics.md knows each of them."""
    documented = set(re.findall(r"`(amy_\w+)`", METRICS_PAGE.read_text()))
    assert not set(re.findall(r"^# TYPE (\w+)", text, re.M)) - documented
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr


def test_requests_gates_and_queues_are_counted(running):
    def answers(kind):
        return value(metrics(running), "amy_site_answers_total", site=TINY, **{"class": kind})

    for _ in range(5):
        assert running.get(TINY).status == 200
    assert running.get(TINY, "/no-such-page").status == 404
    assert answers("2xx") == 5 and answers("4xx") == 1
    found = metrics(running)
    assert value(found, "amy_front_processes") == running.processes
    assert value(found, "amy_pool_slots", site=TINY, pool="web") == 2
    assert value(found, "amy_pool_slots_busy", site=TINY, pool="web") == 0
    assert value(found, "amy_pool_queue_length", site=TINY) == 0
    assert value(found, "amy_site_closed", site=TINY) == 0
    assert value(found, "amy_site_info", site=TINY, stage="production") == 1
    running.amyctl("maintenance", "on", TINY)
    assert value(metrics(running), "amy_site_closed", site=TINY) == 1
    assert running.get(TINY).status == 503
    assert answers("5xx") == 1
    reloads = value(metrics(running), "amy_front_reloads_total", result="served")
    running.amyctl("reload", TINY)
    assert value(metrics(running), "amy_front_reloads_total", result="served") == reloads + 1


def test_queue_is_seen_while_requests_wait(running):
    held = [running.connect(TINY, tls=False) for _ in range(3)]
    for connection in held:
        connection.request("GET", "/slow?s=3", {"Host": TINY})

    def queued():
        found = metrics(running)
        return (value(found, "amy_pool_queue_length", site=TINY) == 1
                and value(found, "amy_pool_slots_busy", site=TINY) == 2
                and value(found, "amy_pool_queue_oldest_seconds", site=TINY) > 0)

    wait_for(queued, SOON_S, "one of three waits for two slots")
    for connection in held:
        assert connection.read_response().status == 200
        connection.close()


def test_workers_are_counted_by_state(running):
    found = metrics(running, "workers")
    assert value(found, "amy_workers", site=TINY, pool="web", state="ready") == 2
    assert value(found, "amy_workers_memory_bytes", site=TINY, pool="web") > 1_000_000
    assert value(found, "amy_worker_restarts_total", site=TINY, pool="web") == 0


def test_pool_that_never_began_has_nobody_ready(tiny):
    """As with an environment that cannot be read; an alarm needs a number."""
    (tiny.tiny.venv / "bin/postactivate").write_text("exit 3\n")
    tiny.start_workers(ready=False)
    wait_for(lambda: (report := tiny.daemon_status("workers"))
             and any("error" in site for site in report["sites"]), SOON_S,
             "the environment is refused")
    found = metrics(tiny, "workers")
    assert value(found, "amy_workers", site=TINY, pool="web", state="ready") == 0


def test_certificate_that_is_refused_is_counted(tiny):
    shutil.rmtree(tiny.certificates / TINY)
    lineage = Lineage(tiny, TINY)
    lineage.renew([TINY], days=20)
    tiny.start_front()
    found = metrics(tiny)
    until = value(found, "amy_certificate_not_after_timestamp_seconds", site=TINY,
                  key_type="EC P-256")
    assert value(found, "amy_certificate_refused", site=TINY) == 0
    lineage.renew(["other.localhost"])
    wait_for(lambda: value(metrics(tiny), "amy_certificate_refused", site=TINY) == 1, SOON_S,
             "the metric says so")
    found = metrics(tiny)
    assert value(found, "amy_certificate_refusals_total", site=TINY) == 1
    assert value(found, "amy_certificate_not_after_timestamp_seconds", site=TINY) == until
    lineage.renew([TINY], days=40)
    wait_for(lambda: value(metrics(tiny), "amy_certificate_refused", site=TINY) == 0, SOON_S,
             "it is mended")
    found = metrics(tiny)
    later = value(found, "amy_certificate_not_after_timestamp_seconds", site=TINY)
    assert abs(later - until - 20 * 86400) < 300
    assert value(found, "amy_certificate_refusals_total", site=TINY) == 1


def test_sockets_are_for_reading_alone(running):
    for daemon in ("front", "workers"):
        assert scrape(running, daemon, method="POST").status == 405
        assert scrape(running, daemon, path="/v1/status").status == 404
        assert scrape(running, daemon, path="/").status == 404


@pytest.mark.root
def test_anybody_may_read_them(running):
    script = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
              "s.sendall(b'GET /metrics HTTP/1.0\\r\\n\\r\\n'); print(s.recv(15).decode())")
    path = running.run / "front-metrics.sock"
    done = subprocess.run(
        as_user(users.User.named("nobody"), ["/usr/bin/python3", "-c", script, path]),
        env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.stdout.startswith("HTTP/1.1 200"), done.stderr


def test_loopback_port_where_amy_yaml_says_so(tiny):
    ports = {name: free_port() for name in ("front", "workers", "backup")}
    settings = json.loads(tiny.settings.read_text())
    settings["metrics"] = {name: [f"127.0.0.1:{port}"] for name, port in ports.items()}
    tiny.settings.write_text(json.dumps(settings))
    tiny.start_workers()
    tiny.start_front()
    tiny.start_backup()
    for name, port in ports.items():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"# TYPE amy_" in answer.read(), name
