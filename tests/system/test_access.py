"""Sites that are closed to strangers: passwords, addresses, exceptions, and
what a test site says to search engines.
"""

import base64
import ctypes
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest
import websocket
from hosting.rawhttp import Connection
from hosting.wait import wait_for
from scripted import SOON_S, WIRE, Script, answer, deploy_wire, start_worker

STRANGER = "127.0.0.4"
OFFICE = "127.0.0.5"
ALLOWED_BY_ADDRESS = "127.0.0.6"
PASSWORD = "open: sesame £"
USERS = "testers"
CLOSED = "closed.localhost"
SECURE = "secure.localhost"
ACCESS = f"""\
stage: test
access:
  users: {USERS}
  allow: [{ALLOWED_BY_ADDRESS}]
  except: [/hooks/, /ping]
  realm: just us
"""


def crypt3(password, setting):
    """crypt(3): Python's own module of it is gone since 3.13."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), setting.encode()).decode()


def bcrypt(password, cost=5):
    return crypt3(password, f"$2y${cost:02}$abcdefghijklmnopqrstuu")


def write_users(site, **hashes):
    path = site.directory / USERS
    path.write_text("# who tests\n" + "".join(f"{name}:{value}\n" for name, value in hashes.items()))
    path.chmod(0o600)


def close(site, access=ACCESS):
    site.write_yaml(site.yaml.read_text().replace("http: serve\n", "http: serve\n" + access))


@pytest.fixture(scope="module")
def wire(host_for_module):
    host = host_for_module
    site = deploy_wire(host, health="false")
    write_users(site, anna=bcrypt(PASSWORD), slow=bcrypt(PASSWORD, 11),
                six=crypt3(PASSWORD, "$6$saltsalt$"), yes=crypt3(PASSWORD, "$y$j9T$saltsaltsaltsalt"))
    close(site)
    other = deploy_wire(host, CLOSED, health="false")
    close(other, "stage: test\n")
    secure = deploy_wire(host, SECURE, health="false")
    secure.write_yaml(secure.yaml.read_text().replace(
        "http: serve\n", f"http: {{mode: redirect, except: [/static/a.txt]}}\n"
                         f"access: {{users: {site.directory / USERS}, allow: [{ALLOWED_BY_ADDRESS}]}}\n"))
    host.write_settings(trusted=["127.0.0.3/32"])
    host.start_front()
    host.worker = start_worker(host)
    host.wire_site = site
    wait_for(lambda: get(host, "/", user="anna").status == 200, SOON_S, "the worker is found")
    yield host
    host.worker.stop()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def get(host, path, source=OFFICE, method="GET", domain=WIRE, user=None, password=PASSWORD,
        body=b"", tls=False, **fields):
    """One request from that address."""
    raw = socket.create_connection(("127.0.0.1", host.http), timeout=SOON_S,
                                   source_address=(source, 0))
    with Connection(raw) as connection:
        given = {"Host": domain, "Connection": "close"}
        if user is not None:
            given["Authorization"] = basic(user, password)
        given |= {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request(method, path, given, body)
        return connection.read_response(method)


# ---- strangers


@pytest.mark.parametrize("path", ["/", "/static/a.txt", "/hook", "/hooks/../", "/hooks/%2e%2e/x",
                                  "/hooks/..;/x", "/hooks//x", "/ping/", "/ping/x", "/PING",
                                  "/maintenance/x", "/?/ping"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
def test_stranger_is_asked_for_a_password(wire, path, method):
    asked = len(wire.worker.requests)
    response = get(wire, path, STRANGER, method)
    assert response.status == 401
    assert response.get("www-authenticate") == 'Basic realm="just us", charset="UTF-8"'
    assert "no-store" in response.get("cache-control")
    assert response.get("x-robots-tag") == "noindex, nofollow"
    assert len(wire.worker.requests) == asked, "nothing of it reaches the application"


@pytest.mark.parametrize("path", ["/ping", "/ping?x=1", "/hooks/", "/hooks/stripe/x.y"])
def test_exceptions_are_for_everybody(wire, path):
    wire.worker.scripts[path.partition("?")[0]] = Script(
        answer("200 OK", "Cache-Control: public, max-age=60"))
    response = get(wire, path, STRANGER, "POST", body=b"x", Authorization="Bearer theirs")
    assert response.status == 200
    assert wire.worker.last(path).get("authorization") == "Bearer theirs", "the application's own"
    assert response.get("cache-control") == "public, max-age=60"
    assert response.get("x-robots-tag") == "noindex, nofollow"


def test_challenges_and_robots_are_for_everybody(wire):
    challenge = wire.wire_site.directory / "acme" / ".well-known" / "acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "token").write_text("proof")
    for directory in (challenge, *challenge.parents[:2]):
        directory.chmod(0o755)
    assert get(wire, "/.well-known/acme-challenge/token", STRANGER).body == b"proof"
    robots = get(wire, "/robots.txt", STRANGER)
    assert (robots.status, robots.body) == (200, b"User-agent: *\nDisallow: /\n")
    assert robots.get("content-type") == "text/plain"
    assert get(wire, "/robots.txt", STRANGER, "POST").status == 401


def test_address_needs_no_password(wire):
    response = get(wire, "/", ALLOWED_BY_ADDRESS, Authorization="Bearer theirs")
    assert response.status == 200
    assert wire.worker.last("/").get("authorization") == "Bearer theirs"
    assert get(wire, "/", "127.0.0.3", X_Forwarded_For=ALLOWED_BY_ADDRESS).status == 200
    assert get(wire, "/", STRANGER, X_Forwarded_For=ALLOWED_BY_ADDRESS).status == 401


def test_site_that_lets_nobody_in(wire):
    response = get(wire, "/", ALLOWED_BY_ADDRESS, domain=CLOSED, user="anna")
    assert response.status == 403
    assert not response.all("www-authenticate")
    problems = json.dumps(wire.status())
    assert "lets nobody in" in problems


def test_nobody_is_asked_in_the_clear_where_https_is_to_be_had(wire):
    response = get(wire, "/", STRANGER, domain=SECURE)
    assert response.status == 301 and not response.all("www-authenticate")
    response = get(wire, "/static/a.txt", STRANGER, domain=SECURE)
    assert response.status == 301 and not response.all("www-authenticate")
    assert get(wire, "/static/a.txt", ALLOWED_BY_ADDRESS, domain=SECURE).status == 200
    assert wire.get(SECURE).status == 401
    response = wire.get(SECURE, "/static/a.txt", headers={"Authorization": basic("anna", PASSWORD)})
    assert response.status == 200
    assert response.get("x-robots-tag") is None, "of production"


# ---- passwords


@pytest.mark.parametrize("user", ["anna", "six", "yes"])
def test_password_lets_in_and_stays_here(wire, user):
    response = get(wire, f"/in/{user}", user=user)
    assert response.status == 200
    assert wire.worker.last(f"/in/{user}").get("authorization") is None
    assert response.get("cache-control") == "private"


def test_shared_caches_keep_nothing(wire):
    wire.worker.scripts["/shared"] = Script(answer(
        "200 OK", "Cache-Control: public, s-maxage=9, max-age=60", "CDN-Cache-Control: max-age=9",
        "Cloudflare-CDN-Cache-Control: public"))
    response = get(wire, "/shared", user="anna")
    assert response.get("cache-control") == "private, max-age=60"
    assert response.get("cdn-cache-control") is None
    assert response.get("cloudflare-cdn-cache-control") is None
    static = get(wire, "/static/a.txt", user="anna")
    assert static.body == b"alpha\n" and static.get("cache-control") == "private"


def test_body_waits_at_the_door(wire):
    """A password that is not known yet: the body is taken in while it is checked."""
    body = bytes(range(256)) * 1024
    response = get(wire, "/upload", method="POST", user="slow", body=body)
    assert response.status == 200
    assert wire.worker.last("/upload").body == body
    wrong = get(wire, "/upload2", method="POST", user="slow", password="no", body=body)
    assert wrong.status == 401
    assert "/upload2" not in [request.path for request in wire.worker.requests]


@pytest.mark.parametrize("value", [
    "Basic", "Basic ", "Basic !!!!", "Basic YQ", "Bearer YTpi", "Basic " + "A" * 8000,
    "Basic " + base64.b64encode(b"anna").decode(),
    "Basic " + base64.b64encode(b"anna\0:x").decode(),
    "Basic " + base64.b64encode(b"an:na:" + PASSWORD.encode()).decode(),
    "Basic " + base64.b64encode(b":" + PASSWORD.encode()).decode(),
    "Basic " + base64.b64encode(b"nobody:" + PASSWORD.encode()).decode(),
    "Basic " + base64.b64encode(b"anna:" + PASSWORD.encode() + b"\0").decode(),
    "Basic " + base64.b64encode(b"anna:" + b"x" * 600).decode(),
    "Basic " + base64.b64encode("änna:x".encode("latin-1")).decode()],
    ids=lambda value: value[:24].strip())
def test_nonsense_is_no_password(wire, value):
    assert get(wire, "/", "127.0.1.1", Authorization=value).status == 401


def test_two_fields_are_none(wire):
    raw = socket.create_connection(("127.0.0.1", wire.http), timeout=SOON_S)
    with Connection(raw) as connection:
        good = basic("anna", PASSWORD)
        connection.send(f"GET / HTTP/1.1\r\nHost: {WIRE}\r\nAuthorization: {good}\r\n"
                        f"Authorization: {good}\r\nConnection: close\r\n\r\n".encode())
        assert connection.read_response().status == 401


def test_name_is_in_the_access_log_and_nothing_else_of_it(wire):
    assert get(wire, "/logged/right", user="anna").status == 200
    for times in range(12):  # more than there are processes: one knows it is wrong
        assert get(wire, f"/logged/wrong{times}", user="anna", password="guess").status in (401, 429)
    log = wire.wire_site.directory / "logs" / "access.log"

    def line(path):
        return next((text for text in log.read_text().splitlines() if path in text), None)

    wait_for(lambda: line("/logged/right") and line("/logged/wrong11"), SOON_S, "both are logged")
    assert re.match(r"127\.0\.0\.5 - anna \[", line("/logged/right"))
    for times in range(12):
        assert re.match(r"127\.0\.0\.5 - - \[", line(f"/logged/wrong{times} "))
    written = "".join(file.read_text() for file in log.parent.iterdir()) + wire.front.output()
    for secret in (PASSWORD, "guess", basic("anna", "guess"), "$2b$"):
        assert secret not in written


def test_over_tls(wire):
    def status(*arguments):
        return subprocess.run(
            ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*",
             "--connect-to", f"::127.0.0.1:{wire.https}", *arguments,
             f"https://{WIRE}:{wire.https}/tls"], capture_output=True, text=True,
            timeout=SOON_S, check=True).stdout

    assert status() == "401"
    assert status("-u", f"anna:{PASSWORD}") == "200"
    assert status("-u", f"slow:{PASSWORD}", "-d", "x" * 100000) == "200"
    assert status("-u", "slow:no", "-d", "x" * 100000) == "401"


@pytest.mark.parametrize("user, status", [("anna", 101), ("slow", 101), (None, 401)])
def test_websocket(wire, user, status):
    path = f"/socket/{user}"
    wire.worker.scripts[path] = Script(websocket.AGREED)
    raw = socket.create_connection(("127.0.0.1", wire.http), timeout=SOON_S)
    with Connection(raw) as near:
        more = [f"Authorization: {basic(user, PASSWORD)}"] if user else []
        near.send(websocket.ask(WIRE, path, more=more))
        assert near.read_response().status == status


def test_file_in_place_of_an_answer(wire):
    wire.worker.scripts["/hooks/file"] = wire.worker.scripts["/file"] = Script(
        answer("200 OK", "X-Accel-Redirect: /static/a.txt"))
    assert get(wire, "/file", user="anna").body == b"alpha\n"
    assert get(wire, "/file", STRANGER).status == 401
    assert get(wire, "/hooks/file", STRANGER).body == b"alpha\n", "the application says so"


# ---- where the stage is told


def test_stage_is_told(wire):
    (site,) = [site for site in wire.status()["sites"] if site["site"] == WIRE]
    assert site["stage"] == "test" and site["access"] == {"users": 4, "networks": 1}
    shown = wire.amyctl("status", WIRE).stdout
    assert f"{WIRE}  test" in shown and "4 by password, 1 network\n" in shown
    assert "nobody gets in" in wire.amyctl("status", CLOSED).stdout
    get(wire, "/told", user="anna")
    log = wire.wire_site.directory / "logs" / "access.log"
    wait_for(lambda: "/told" in log.read_text(), SOON_S, "it is logged")
    assert all(line.endswith(" stage=test") for line in log.read_text().splitlines())
    line = json.loads(wire.amyctl("logs", WIRE, "--grep", "/told", "--json").stdout.splitlines()[-1])
    assert (line["user"], line["stage"], line["target"]) == ("anna", "test", "/told")
    assert f"closed to strangers site={WIRE} stage=test users=4" in wire.front.output()


# ---- the gate


def test_gate_is_behind_the_door(wire):
    wire.amyctl("maintenance", "on", WIRE)
    try:
        assert get(wire, "/", STRANGER).status == 401
        assert get(wire, "/", user="anna").status == 503
        assert get(wire, "/ping", STRANGER).status == 503
        assert get(wire, "/robots.txt", STRANGER).status == 200
    finally:
        wire.amyctl("maintenance", "off", WIRE)


# ---- the file of users


def test_reload_takes_users_in_and_out(wire):
    site = wire.wire_site
    text = (site.directory / USERS).read_text()
    assert get(wire, "/", user="ben").status == 401
    assert get(wire, "/", user="anna").status == 200
    (site.directory / USERS).write_text(f"ben:{bcrypt(PASSWORD)}\nanna:{bcrypt('another')}\n")
    wire.amyctl("reload", WIRE, check=False)
    try:
        assert get(wire, "/", user="ben").status == 200
        assert get(wire, "/", user="anna").status == 401, "known as right a moment ago"
        assert get(wire, "/", user="six").status == 401
    finally:
        (site.directory / USERS).write_text(text)
        wire.amyctl("reload", WIRE, check=False)
    assert get(wire, "/", user="anna").status == 200


@pytest.mark.parametrize("line, told", [
    ("anna:plain", "no hash of bcrypt"), ("anna:$apr1$x$y", "MD5"),
    ("anna:$2y$20$" + "x" * 53, "cost"), ("no colon", "no name")])
def test_bad_line_is_told_and_lets_nobody_in(wire, line, told):
    site = wire.wire_site
    text = (site.directory / USERS).read_text()
    (site.directory / USERS).write_text(text.replace("slow:", "gone:") + line + "\n")
    try:
        result = wire.amyctl("reload", WIRE, check=False)
        shown = result.stdout + result.stderr
        assert told in shown and f"{USERS}:6:" in shown, shown
        assert line.partition(":")[2] not in shown or line == "no colon"
        assert get(wire, "/", user="anna").status == 200, "the others get in"
    finally:
        (site.directory / USERS).write_text(text)
        wire.amyctl("reload", WIRE, check=False)


@pytest.mark.root
def test_file_that_the_sites_user_can_write_lets_nobody_in(wire):
    site = wire.wire_site
    path = site.directory / USERS
    os.chown(path, wire.user.uid, wire.user.gid)
    try:
        shown = wire.amyctl("reload", WIRE, check=False)
        assert "belongs to" in shown.stdout + shown.stderr
        assert get(wire, "/", user="anna").status == 401
    finally:
        os.chown(path, 0, 0)
        wire.amyctl("reload", WIRE, check=False)
    assert get(wire, "/", user="anna").status == 200


# ---- attacks


def guess(wire, number, source):
    try:
        return get(wire, "/guess", source, user="slow", password=f"guess {number}").status
    except (ConnectionError, TimeoutError):
        return 0


def test_who_guesses_is_slowed_down_and_nobody_else(wire):
    """Wrong passwords from one address, then from many: who is in already, and
    other sites, are served meanwhile; who guesses is told to come later."""
    assert get(wire, "/", user="anna").status == 200
    stop = threading.Event()
    statuses = []

    def attack(first):
        number = first
        while not stop.is_set():
            statuses.append(guess(wire, number, f"127.1.{first % 250}.{number % 250}"))
            number += 1

    attackers = [threading.Thread(target=attack, args=(1000 * i,)) for i in range(1, 9)]
    for attacker in attackers:
        attacker.start()
    try:
        wait_for(lambda: len(statuses) > 8, SOON_S, "the attack is under way")
        slowest = 0
        for _ in range(40):
            begun = time.monotonic()
            assert get(wire, "/", user="anna").status == 200
            assert get(wire, "/ping", STRANGER).status == 200
            slowest = max(slowest, time.monotonic() - begun)
    finally:
        stop.set()
        for attacker in attackers:
            attacker.join()
    # A password costs 0.1 s; waiting behind eight who guess would be many of them.
    assert slowest < 10, f"{slowest:.3f} s"
    assert set(statuses) <= {401, 503}, set(statuses)


def test_address_that_guesses_again_and_again_is_told_to_wait(wire):
    seen = [guess(wire, number, "127.0.0.99") for number in range(60)]
    assert 429 in seen and 200 not in seen
    late = get(wire, "/guess", "127.0.0.99", user="anna", password="once more")
    assert late.status == 429 and int(late.get("retry-after")) > 0
    assert get(wire, "/guess", "127.0.0.99", user="anna").status == 200, "known as right"


def test_checker_that_dies_comes_back(wire):
    def checkers():
        master = wire.front.pid
        children = open(f"/proc/{master}/task/{master}/children").read().split()
        return [int(pid) for pid in children
                if os.getpriority(os.PRIO_PROCESS, int(pid)) > os.getpriority(os.PRIO_PROCESS, master)]

    (before,) = checkers()
    os.kill(before, 9)
    wait_for(lambda: get(wire, "/", "127.0.0.7", user="anna", password="nobody's").status == 401,
             SOON_S, "a new one answers")
    assert before not in checkers()
