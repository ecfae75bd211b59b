"""The walk: what a visitor and an operator do with the demo, step by step.

scripts/demo --check takes it without a person, and tests/system takes the same
steps. Each step is a function of one `Stage` and raises when something is wrong.
"""

import gzip
import hashlib
import json
import os
import re
import secrets
from dataclasses import dataclass

from hosting import browser as browsers
from hosting.host import Host
from hosting.rawhttp import format_request
from hosting.release import Releases
from hosting.services import Postgres, Redis
from hosting.site import Site
from hosting.wait import wait_for

UPLOAD_BYTES = 20_000_000
SOON_S = 30


@dataclass
class Stage:
    """What the steps need."""

    host: Host
    site: Site
    postgres: Postgres
    redis: Redis

    @property
    def domain(self):
        return self.site.domain

    def get(self, path="/", **options):
        return self.host.get(self.domain, path, **options)

    def workers(self, pool="web"):
        return workers_of(self.host.status(), self.domain, pool)

    def pools(self):
        return site_parts(self.host.status(), self.domain)["pools"]

    def front_processes(self):
        return merged(self.host.status(), "processes")


# ---- reading `amyctl status --json`


def merged(status, key):
    """The first list called `key` of either daemon's part."""
    for part in [status, *(value for value in status.values() if isinstance(value, dict))]:
        if key in part:
            return part[key]
    raise KeyError(f"no {key} in the status: {json.dumps(status)[:500]}")


def site_parts(status, domain):
    """What each daemon says about one site, as one dictionary."""
    found = {}
    parts = [status, *(value for value in status.values() if isinstance(value, dict))]
    for part in parts:
        for entry in part.get("sites", []):
            if entry["site"] == domain:
                problems = found.get("problems", []) + entry.get("problems", [])
                found |= entry | {"problems": problems}
    if not found:
        raise KeyError(f"no site {domain} in the status: {json.dumps(status)[:500]}")
    return found


def workers_of(status, domain, pool):
    for entry in site_parts(status, domain).get("pools", []):
        if entry["name"] == pool:
            return entry["workers"]
    return []


# ---- forms, without a browser


def submit(stage, path, fields, file=None):
    """Fetch the page, take its token, post the form; the answer to the post."""
    page = stage.get(path)
    assert page.status == 200, f"GET {path}: {page.status}"
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[1]
    cookie = page.get("set-cookie").split(";")[0]
    boundary = "amy-walk-boundary"
    parts = []
    for name, value in {"csrfmiddlewaretoken": token, **fields}.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
                     f"{value}\r\n".encode())
    if file is not None:
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
                     f'filename="walk.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
                     .encode() + file + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return stage.get(path, method="POST", body=b"".join(parts), headers={
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Cookie": cookie,
        "Referer": stage.host.url(stage.domain, path),
    })


# ---- the steps


def redirects_to_https(stage):
    """Plain HTTP is sent to HTTPS."""
    answer = stage.get("/slow/?s=0", tls=False)
    assert answer.status == 301, answer.status
    assert answer.get("location") == stage.host.url(stage.domain, "/slow/?s=0"), answer.fields


def browser_signs_guest_book(stage):
    """A browser signs the guest book over TLS 1.3, and an rq job runs."""
    if not browsers.is_available():
        return form_signs_guest_book(stage)
    name = f"Ada {secrets.token_hex(4)}"
    certificate = stage.host.certificates / stage.domain / "fullchain.pem"
    with browsers.Browser(certificate) as browser:
        browser.open(stage.host.url(stage.domain))
        browser.fill("[name=name]", name)
        browser.fill("[name=message]", "Signed by Chromium.")
        browser.click("main button")
        browser.wait_for_text(name)
        expect_entry(stage, name)
        browser.open(stage.host.url(stage.domain, "/jobs/"))
        browser.fill("[name=limit]", "1000")
        browser.click("main button")
        browser.wait_for_text("168", "[data-field=result]")
        versions = browser.tls_versions()
        assert versions == {"TLS 1.3"}, versions
    return None


def form_signs_guest_book(stage):
    """The same by plain requests, where no browser is to be had."""
    name = f"Grace {secrets.token_hex(4)}"
    answer = submit(stage, "/", {"name": name, "message": "Signed by hand."})
    assert answer.status == 302, answer.status
    assert name in stage.get("/").text
    expect_entry(stage, name)
    assert run_job(stage, 1000) == 168
    with stage.host.connect(stage.domain) as connection:
        assert connection.raw.version() == "TLSv1.3"


def expect_entry(stage, name):
    rows = stage.postgres.query(f"SELECT count(*) FROM pages_entry WHERE name = '{name}'",
                                stage.postgres.DATABASE)
    assert rows == "1", f"{rows} rows in PostgreSQL"


def run_job(stage, limit, **fields):
    """Enqueue the count of primes, wait for the worker, return the result."""
    answer = submit(stage, "/jobs/", {"limit": limit, **fields})
    assert answer.status == 302, answer.status
    url = answer.get("location").rstrip("/") + ".json"

    def finished():
        state = json.loads(stage.get(url).body)
        assert state["state"] != "failed", state
        return state["done"] and state

    return wait_for(finished, SOON_S, "the job is finished")["result"]


def scheduler_runs_a_job(stage):
    """A job for later goes through the scheduler."""
    assert run_job(stage, 100, later="on") == 25


def takes_a_large_upload(stage):
    """20 MB arrive whole, and come back by X-Accel-Redirect."""
    data = os.urandom(1 << 16) * (UPLOAD_BYTES >> 16)
    answer = submit(stage, "/upload/", {}, file=data)
    assert answer.status == 200, (answer.status, answer.text[:300])
    assert hashlib.sha256(data).hexdigest() in answer.text
    assert f"{len(data)} bytes" in answer.text
    path = re.search(r'id="download" href="([^"]+)"', answer.text)[1]
    back = stage.get(path)
    assert back.status == 200 and back.body == data, (back.status, len(back.body))
    assert back.get("x-accel-redirect") is None and back.get("content-disposition")
    part = stage.get(path, headers={"Range": "bytes=-5"})
    assert part.status == 206 and part.body == data[-5:], part.status
    assert stage.get(f"/private/{hashlib.sha256(data).hexdigest()}").status == 404


def streams(stage):
    """The first line is here long before the last one is written."""
    with stage.host.connect(stage.domain) as connection:
        connection.request("GET", "/stream/lines?lines=3&gap_ms=1000",
                           {"Host": stage.domain, "Connection": "close"})
        first = connection.read_some_until(b"1 0.")
        assert b"3 2." not in first, "the answer was held back"
        rest = connection.read_rest()
        assert b"3 2." in rest, rest


def serves_static_files(stage):
    """Hashed names may be kept for ever; a second look is answered by 304; what lies
    compressed beside a file is sent to who takes it."""
    page = stage.get("/")
    path = re.search(r'href="(/static/pages/site\.[0-9a-f]+\.css)"', page.text)[1]
    answer = stage.get(path)
    assert answer.status == 200 and b"--paper" in answer.body, answer.status
    assert "immutable" in answer.get("cache-control"), answer.fields
    again = stage.get(path, headers={"If-None-Match": answer.get("etag")})
    assert again.status == 304 and again.body == b"", again.status
    packed = stage.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.get("content-encoding") == "gzip", packed.fields
    assert gzip.decompress(packed.body) == answer.body
    assert packed.get("vary") == answer.get("vary") == "Accept-Encoding"


def health_is_good(stage):
    """/healthz reaches database and Redis, under any name."""
    answer = stage.get("/healthz", headers={"Host": "10.1.2.3"})
    assert answer.status == 200 and json.loads(answer.body)["healthy"], answer.text


def gate_closes_and_opens(stage):
    """`amyctl maintenance on` gives every request 503 with the page; `off` opens."""
    page = stage.site.maintenance_off.read_bytes()
    stage.host.amyctl("maintenance", "on", stage.domain)
    assert stage.site.maintenance_on.exists() and not stage.site.maintenance_off.exists()
    try:
        expect_closed(stage, page)
    finally:
        stage.host.amyctl("maintenance", "off", stage.domain)
    assert stage.site.maintenance_off.read_bytes() == page
    assert stage.get("/").status == 200


def expect_closed(stage, page):
    """Every kind of request gets the page."""
    body = bytes(UPLOAD_BYTES)
    for method, path, sent in (("GET", "/", b""), ("HEAD", "/", b""), ("POST", "/upload/", body),
                               ("GET", "/static/pages/site.css", b""), ("GET", "/nowhere", b""),
                               ("DELETE", "/", b"")):
        expect_page(stage.get(path, method=method, body=sent), page, method)
    with stage.host.connect(stage.domain) as connection:
        fields = {"Host": stage.domain}
        connection.send(format_request("GET", "/", fields) * 3)
        for _ in range(3):
            expect_page(connection.read_response(), page, "GET")
    problem = stage.get("/", headers={"Accept": "application/json"})
    assert problem.status == 503, problem.status
    assert problem.get("content-type").startswith("application/problem+json"), problem.fields
    assert json.loads(problem.body)["status"] == 503
    assert stage.get("/maintenance/icon.svg").status == 200
    assert stage.get("/healthz").status == 200, "site.yaml lists it under gate.except"


def expect_page(answer, page, method):
    assert answer.status == 503, f"{method}: {answer.status}"
    assert answer.body == (b"" if method == "HEAD" else page), f"{method}: {answer.body[:200]}"
    assert int(answer.get("retry-after")) > 0
    assert "no-store" in answer.get("cache-control")


def worker_comes_back(stage):
    """A web worker is killed; another takes its place and the site answers."""
    victim = stage.workers()[0]
    stage.host.kill(victim["pid"])

    def replaced():
        now = stage.workers()[0]
        return now["state"] == "ready" and now["pid"] != victim["pid"] and now

    now = wait_for(replaced, SOON_S, "a new worker is ready")
    assert now["restarts"] > victim["restarts"], now
    assert stage.get("/").status == 200


def front_process_comes_back(stage):
    """A front process is killed; the others and a new one serve on."""
    victim = stage.front_processes()[0]
    stage.host.kill(victim["pid"])

    def replaced():
        now = stage.front_processes()[0]
        return now["state"] == "ready" and now["pid"] != victim["pid"]

    wait_for(replaced, SOON_S, "a new front process is ready")
    for _ in range(8):
        assert stage.get("/").status == 200


def broken_release_is_refused(stage):
    """A release that does not import is refused with the reason; the site serves on."""
    releases = Releases(stage.site)
    serving = releases.current
    releases.deploy("import")
    try:
        refused = stage.host.amyctl("reload", stage.domain, check=False)
        assert refused.returncode == 1, (refused.returncode, refused.stdout, refused.stderr)
        assert "No module named 'no_such_module'" in refused.stderr, refused.stderr
        expect_release(stage, serving)
    finally:
        releases.switch(serving)


def good_release_goes_through(stage):
    """A good release takes over, worker by worker."""
    number = Releases(stage.site).deploy()
    stage.host.amyctl("reload", stage.domain)
    expect_release(stage, number)
    wait_for(lambda: is_whole(stage), SOON_S, "one generation of all pools is ready")


def expect_release(stage, number):
    """All workers answer as that release."""
    for _ in range(4 * len(stage.workers())):
        page = stage.get("/")
        assert page.status == 200, page.status
        assert page.get("x-release") == str(number), (number, page.fields)
        assert f'id="release">{number}<' in page.text


def is_whole(stage):
    """One generation of every pool, and all workers ready."""
    pools = stage.pools()
    return (len({pool["name"] for pool in pools}) == len(pools)
            and all(worker["state"] == "ready" for pool in pools for worker in pool["workers"]))


def status_tells_all(stage):
    """`amyctl status` for people and for programs."""
    text = stage.host.amyctl("status").stdout
    assert stage.domain in text, text
    status = stage.host.status()
    site = site_parts(status, stage.domain)
    assert site["gate"]["state"] == "open", site["gate"]
    assert {pool["name"] for pool in site["pools"]} == {"web", "rq", "scheduler"}
    for pool in site["pools"]:
        for worker in pool["workers"]:
            assert worker["state"] == "ready" and worker["pid"] > 1, worker
            assert worker["rss_bytes"] > 1 << 20, worker
    assert site["slots"]["web"]["total"] == len(stage.workers()), site["slots"]
    assert stage.domain in site["certificates"][0]["names"], site["certificates"]
    assert site["problems"] == [], site["problems"]


def status_tells_of_redis(stage):
    """`amyctl status` knows the site's Redis, and the queues of rq in it."""
    def told():
        redis = site_parts(stage.host.status(), stage.domain).get("redis", {})
        return redis.get("queues") and redis["workers"]["alive"] and redis

    run_job(stage, 100)
    redis = wait_for(told, SOON_S, "amy-workers has asked Redis, and rq's worker is known")
    assert "error" not in redis and redis["server"]["version"], redis
    assert redis["server"]["reach"] == "local" and redis["server"]["memory_bytes"] > 0, redis
    queue, = (queue for queue in redis["queues"] if queue["name"] == "default")
    # Jobs whose worker was killed by others of the walk count as failed.
    assert min(queue["length"], queue["started"], queue["failed"]) >= 0, queue
    text = stage.host.amyctl("status").stdout
    assert f"redis {redis['server']['version']}" in text and "workers alive" in text, text


def job_of(stage, *words):
    """`amyctl backup`, once no job of the schedule is in its way."""
    def ask():
        done = stage.host.amyctl("backup", *words, "--json", check=False)
        if done.returncode != 0 and ("under way" in done.stderr or "another job" in done.stdout):
            return None
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])["result"]

    return wait_for(ask, SOON_S, f"amyctl backup {' '.join(words)}")


def is_backed_up_and_restored(stage):
    """A backup is made, tried in a throw-away cluster, and restored."""
    wait_for(stage.host.backup_is_ready, SOON_S, "amy-backup knows the site")
    name = job_of(stage, "now", stage.domain)["set"]["name"]
    tried = job_of(stage, "verify", stage.domain, name, "--drill")["set"]
    assert tried["verdict"] == "restored" and tried["restore_ms"] > 0, tried
    stage.postgres.query("DROP DATABASE IF EXISTS restored", "postgres")
    stage.postgres.query("CREATE DATABASE restored", "postgres")
    job_of(stage, "restore", stage.domain, name, "--to", "restored")
    assert count_rows(stage.postgres, "restored") == {
        table["name"]: table["rows"]
        for table in job_of(stage, "show", stage.domain, name)["manifest"]["tables"]
    }


def logs_are_one_stream(stage):
    """`amyctl logs` tells what was done here, by time."""
    path = f"/?looked-for={secrets.token_hex(8)}"
    stage.get(path)

    def told():
        text = stage.host.amyctl("logs", stage.domain, "--json").stdout
        return path in text and [json.loads(line) for line in text.splitlines()]

    lines = wait_for(told, SOON_S, "the request is in the log")
    visit, = (line for line in lines if line.get("target") == path)
    assert (visit["method"], visit["status"]) == ("GET", 200), visit
    assert visit["worker"].startswith("web/") and visit["duration"] >= 0, visit
    assert {"access", "workers"} <= {line["component"] for line in lines}
    assert {"web"} <= {line.get("pool") for line in lines}, "workers' lines name their pool"


def logs_are_rotated(stage):
    """A full access.log is rotated and packed under visits; no line is lost."""
    marks = [secrets.token_hex(1500) for _ in range(60)]
    stage.site.write_yaml(stage.site.sample_yaml() + "logs: {size: 64KiB}\n")
    try:
        stage.host.reread()
        for mark in marks:
            stage.get(f"/static/?mark={mark}")
        packed = wait_for(lambda: sorted(stage.site.logs.glob("access.log-*.gz")), SOON_S,
                          "a rotated file is packed")
        assert b"GET /" in gzip.decompress(packed[-1].read_bytes())

        def told():
            text = stage.host.amyctl("logs", stage.domain, "--component", "access").stdout
            found = re.findall(r"/static/\?mark=([0-9a-f]+)", text)
            return len(found) >= len(marks) and found

        found = wait_for(told, SOON_S, "amyctl logs tells of all visits")
        assert sorted(found) == sorted(marks), "each once"
    finally:
        stage.site.write_yaml(stage.site.sample_yaml())
        stage.host.reread()


def count_rows(postgres, database):
    """Of every table that a migration made, by its name as a manifest has it."""
    tables = postgres.query(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')", database).split()
    return {table: int(postgres.query(f"SELECT count(*) FROM {table}", database))
            for table in tables}


STEPS = (
    redirects_to_https, browser_signs_guest_book, scheduler_runs_a_job, takes_a_large_upload,
    streams, serves_static_files, health_is_good, gate_closes_and_opens, worker_comes_back,
    front_process_comes_back, broken_release_is_refused, good_release_goes_through,
    is_backed_up_and_restored, logs_are_one_stream, logs_are_rotated, status_tells_all, status_tells_of_redis,
)


def walk(stage, say=print):
    """All steps; returns how many failed."""
    failed = 0
    for step in STEPS:
        title = step.__doc__.splitlines()[0]
        try:
            step(stage)
            say(f"ok    {title}")
        except Exception as error:  # the next step may tell more
            failed += 1
            say(f"FAIL  {title}\n      {type(error).__name__}: {error}")
    return failed
