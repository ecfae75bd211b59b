"""X-Accel-Redirect: the application decides, the front sends the file, and the
worker is free meanwhile. With gunicorn, and with a worker that says every byte.
"""

import hashlib
import os
import socket
import threading

import pytest
from hosting import users, walk
from hosting.host import START_S
from hosting.site import make_directory
from hosting.wait import wait_for
from scripted import SOON_S, Script, answer, start_worker
from support import TINY, deploy_tiny

SITE = "accel.localhost"
YAML = """\
site: {domain}
user: {user}
http: serve
workers:
  - {{name: web, wsgi: none:none}}
routes:
  - {{path: /private/, files: media/private, internal: true}}
  - {{path: /static/, files: static, cache: immutable}}
"""
TINY_YAML = """\
site: {domain}
user: {user}
http: serve
workers:
  - {{name: web, wsgi: tiny:application, count: 1}}
routes:
  - {{path: /private/, files: media/private, internal: true}}
"""
CHANNELS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
DIGITS = b"0123456789"
LARGE = bytes(range(256)) * (80 << 10)  # 20 MiB


def put(path, data, mode=0o640):
    """As the application writes uploads: the site's user, readable by group amy."""
    path.write_bytes(data)
    path.chmod(mode)
    if users.is_root():
        os.chown(path, users.site_user().uid, users.front_user().gid)


def make_private(site):
    media = site.directory / "media"
    make_directory(media, 0o755)
    private = media / "private"
    make_directory(private, 0o750)
    if users.is_root():
        os.chown(private, users.site_user().uid, users.front_user().gid)
    put(private / "digits.txt", DIGITS)
    put(private / "large.bin", LARGE)
    put(private / "ä b.pdf", b"%PDF")
    put(private / ".hidden", b"secret")
    put(media / "secret.txt", b"secret")
    (private / "out.txt").symlink_to("../secret.txt")
    return private


# ---- a real application


@pytest.fixture(scope="module")
def served(host_for_module, django_venv):
    host = host_for_module
    site = deploy_tiny(host, TINY, django_venv, TINY_YAML)
    make_private(site)
    accel = host.site(SITE)
    make_private(accel)
    static = accel.directory / "static"
    make_directory(static)
    put(static / "a.css", b"public", 0o644)
    accel.write_yaml(YAML.format(domain=SITE, user=host.user.name))
    # The front first: what stands in for workers below listens in its directory.
    host.start_front()
    host.start_workers(ready=False)
    wait_for(lambda: host.get(TINY, tls=False).status == 200, START_S, "gunicorn answers")
    return host


def tiny_get(host, to, tls=False, **options):
    return host.get(TINY, f"/accel?to={to}", tls=tls, **options)


@CHANNELS
@pytest.mark.parametrize("name, data", [("digits.txt", DIGITS), ("large.bin", LARGE)],
                         ids=["small", "large"])
def test_file_of_an_application(served, name, data, tls):
    response = tiny_get(served, f"/private/{name}", tls)
    assert response.status == 200
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(data).digest()
    assert response.get("content-type") == "text/plain"  # the application's word
    assert response.get("x-accel-redirect") is None
    assert response.get("cache-control") == "private"
    assert response.get("etag") and response.get("last-modified")
    head = tiny_get(served, f"/private/{name}", tls, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.get("content-length") == str(len(data))


@CHANNELS
def test_range_of_such_a_file(served, tls):
    response = tiny_get(served, "/private/large.bin", tls,
                        headers={"Range": f"bytes={len(LARGE) - 5}-"})
    assert (response.status, response.body) == (206, LARGE[-5:])
    again = tiny_get(served, "/private/large.bin", tls,
                     headers={"If-None-Match": response.get("etag")})
    assert again.status == 304


def test_only_worker_is_free_while_clients_read_slowly(served):
    connections = []
    for _ in range(3):
        connection = served.connect(TINY, tls=False)
        connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        connection.request("GET", "/accel?to=/private/large.bin", {"Host": TINY})
        connection.read_some_until(b"\r\n\r\n")
        connections.append(connection)
    assert served.get(TINY, "/fixed", tls=False).status == 200
    assert walk.site_parts(served.status(), TINY)["slots"]["web"]["busy"] == 0
    for connection in connections:
        connection.close()


def test_many_at_once(served):
    failures = []

    def ask():
        for _ in range(20):
            response = tiny_get(served, "/private/digits.txt")
            if (response.status, response.body) != (200, DIGITS):
                failures.append((response.status, response.body))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# ---- every byte of the application's answer


@pytest.fixture(scope="module")
def wire(served):
    served.worker = start_worker(served, domain=SITE)
    wait_for(lambda: served.get(SITE, tls=False).status == 200, SOON_S, "the worker is found")
    yield served
    served.worker.stop()


def say(host, *fields, status="200 OK", body=b"instead\n", method="GET", tls=False, **headers):
    """What a client gets for an answer of the application with these fields."""
    host.worker.scripts["/say"] = Script(answer(status, *fields, body=body))
    names = {key.replace("_", "-"): value for key, value in headers.items()}
    return host.get(SITE, "/say", method=method, headers=names, tls=tls)


def to(path):
    return f"X-Accel-Redirect: {path}"


def busy(host):
    return walk.site_parts(host.status(), SITE)["slots"]["web"]["busy"]


KEPT = {
    "Content-Type": "application/x-own", "Content-Disposition": 'attachment; filename="x"',
    "Accept-Ranges": "none", "Set-Cookie": "a=b", "Cache-Control": "max-age=7",
    "Expires": "Thu, 01 Jan 1970 00:00:00 GMT", "Vary": "Cookie", "X-Frame-Options": "DENY",
    "Content-Security-Policy": "sandbox",
}
DROPPED = {
    "Content-Encoding": "gzip", "Content-Language": "de", "Content-Range": "bytes 0-1/2",
    "ETag": '"theirs"', "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT",
    "Location": "/elsewhere", "X-Accel-Buffering": "no", "X-Accel-Expires": "9",
    "X-Accel-Limit-Rate": "1", "X-Accel-Charset": "utf-8", "Digest": "x",
}


def test_fields_that_stay_and_fields_that_go(wire):
    response = say(wire, to("/private/digits.txt"),
                   *(f"{name}: {value}" for name, value in {**KEPT, **DROPPED}.items()))
    assert (response.status, response.body) == (200, DIGITS)
    for name, value in KEPT.items():
        assert response.all(name) == [value], name
    for name, value in DROPPED.items():
        assert value not in response.all(name), name
    assert response.get("date")
    assert response.get("content-length") == "10"


@pytest.mark.parametrize("value, body", [
    ("/private/%C3%A4%20b.pdf", b"%PDF"), ("/private/ä b.pdf", b"%PDF"),
    ("/private/digits%2Etxt?query", DIGITS), ("/private//./digits.txt", DIGITS),
    ("/static/a.css", b"public"),
])
def test_value_names_a_file(wire, value, body):
    value = value.encode().decode("latin-1")
    response = say(wire, to(value))
    assert (response.status, response.body) == (200, body)


@pytest.mark.parametrize("value", [
    "/private/none.txt", "/private/../secret.txt", "/private/%2e%2e/secret.txt",
    "/private/..%2fsecret.txt", "/private/.hidden", "/private/out.txt", "/private/", "/private",
    "/say", "/", "private/digits.txt", "@digits", "http://localhost/private/digits.txt",
    "/etc/passwd", "", "/private/%00", "/private/%zz", pytest.param("/private/" + "a" * 5000, id="long"),
])
def test_value_names_nothing(wire, value):
    log = wire.sites[SITE].logs / "error.log"
    before = log.stat().st_size if log.exists() else 0

    def line():
        """Asked again: of ten errors in a second the log keeps none further."""
        response = say(wire, to(value))
        assert response.status == 404
        assert b"secret" not in response.body and b"instead" not in response.body
        assert response.get("x-accel-redirect") is None
        with open(log, "rb") as file:
            file.seek(before)
            return value[:200].encode() in file.read()

    wait_for(line, SOON_S, "the log names it")


@pytest.mark.root
def test_file_that_the_front_may_not_read(wire):
    put(wire.sites[SITE].directory / "media/private/locked.txt", b"secret", 0o600)
    response = say(wire, to("/private/locked.txt"))
    assert response.status == 403
    assert b"secret" not in response.body


@CHANNELS
@pytest.mark.parametrize("path", ["/private/digits.txt", "/private/", "/private",
                                  "/private//digits.txt", "/private/none"])
def test_from_outside_there_is_nothing(wire, path, tls):
    for method in ("GET", "HEAD", "POST"):
        response = wire.get(SITE, path, method=method, tls=tls,
                            headers={"X-Accel-Redirect": "/private/digits.txt"})
        assert response.status == 404
    assert not [r for r in wire.worker.requests if "private" in r.line]


def test_field_of_a_client_means_nothing(wire):
    response = say(wire, X_Accel_Redirect="/private/digits.txt", X_Accel_Mapping="/=/private/")
    assert response.body == b"instead\n"
    assert not [name for name, _ in wire.worker.last("/say").fields if "accel" in name.lower()]


@pytest.mark.parametrize("status", ["302 Found", "403 Forbidden", "500 Oops", "304 Not Modified"])
def test_answer_that_is_no_success_passes_without_the_field(wire, status):
    body = b"" if status.startswith("304") else b"instead\n"
    response = say(wire, to("/private/digits.txt"), status=status, body=body)
    assert response.status == int(status[:3])
    assert response.body == body
    assert response.get("x-accel-redirect") is None


def test_methods(wire):
    response = say(wire, to("/private/digits.txt"), method="POST", Range="bytes=0-1",
                   If_None_Match="*")
    assert (response.status, response.body) == (200, DIGITS)
    # What answers HEAD has no body, whatever length it tells.
    wire.worker.scripts["/say"] = Script(answer("200 OK", to("/private/digits.txt"), body=b"",
                                                length=8))
    response = wire.get(SITE, "/say", method="HEAD", tls=False)
    assert (response.status, response.get("content-length")) == (200, "10")


BODIES = {
    "none": answer("200 OK", to("/private/digits.txt"), body=b""),
    "short": answer("200 OK", to("/private/digits.txt")),
    "long": answer("200 OK", to("/private/digits.txt"), body=b"x" * (1 << 20)),
    "chunked": b"HTTP/1.1 200 OK\r\n" + to("/private/digits.txt").encode()
               + b"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("kind", BODIES)
def test_body_of_the_application_is_dropped_and_the_slot_free(wire, kind):
    wire.worker.scripts["/say"] = Script(BODIES[kind])
    for _ in range(3):
        response = wire.get(SITE, "/say", tls=False)
        assert (response.status, response.body) == (200, DIGITS)
    wait_for(lambda: busy(wire) == 0, SOON_S, "the slot is free")


def test_brief_body_keeps_the_connection(wire):
    links = len(wire.worker.links)
    for _ in range(10):
        assert say(wire, to("/private/digits.txt")).body == DIGITS
    assert len(wire.worker.links) - links <= 2  # one of each front process


def test_endless_body_does_not_hold_the_slot(wire):
    ended = threading.Event()

    def endless(link, _request):
        link.send(b"HTTP/1.1 200 OK\r\n" + to("/private/digits.txt").encode()
                  + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                link.send(b"4\r\nmore\r\n")
        except OSError:
            ended.set()
            return False

    wire.worker.scripts["/endless"] = endless
    response = wire.get(SITE, "/endless", tls=False)
    assert (response.status, response.body) == (200, DIGITS)
    assert ended.wait(SOON_S), "the worker was hung up on"
    wait_for(lambda: busy(wire) == 0, SOON_S, "the slot is free")


def test_compressed_beside_an_internal_file(wire):
    private = wire.sites[SITE].directory / "media/private"
    put(private / "a.txt", b"plain")
    put(private / "a.txt.gz", b"packed")
    response = say(wire, to("/private/a.txt"), "Vary: Cookie", Accept_Encoding="gzip")
    assert (response.body, response.get("content-encoding")) == (b"packed", "gzip")
    assert response.all("vary") == ["Cookie", "Accept-Encoding"]


def test_handshake_may_be_answered_by_a_file(wire):
    with wire.connect(SITE, tls=False) as connection:
        wire.worker.scripts["/say"] = Script(answer("200 OK", to("/private/digits.txt")))
        for _ in range(2):
            connection.request("GET", "/say", {
                "Host": SITE, "Connection": "Upgrade", "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
            response = connection.read_response()
            assert (response.status, response.body) == (200, DIGITS)
    wait_for(lambda: busy(wire) == 0, SOON_S, "the slot is free")


def test_pipelined_requests_stay_in_order(wire):
    wire.worker.scripts["/say"] = Script(answer("200 OK", to("/private/large.bin")))
    wire.worker.scripts["/small"] = Script(answer("200 OK", to("/private/digits.txt")))
    with wire.connect(SITE, tls=False) as connection:
        for path in ("/say", "/small", "/other"):
            connection.request("GET", path, {"Host": SITE})
        assert connection.read_response().body == LARGE
        assert connection.read_response().body == DIGITS
        assert connection.read_response().body == b"fine\n"


def test_closed_gate_comes_before(wire):
    wire.amyctl("maintenance", "on", SITE)
    try:
        assert say(wire, to("/private/digits.txt")).status == 503
    finally:
        wire.amyctl("maintenance", "off", SITE)
    wait_for(lambda: say(wire, to("/private/digits.txt")).status == 200, SOON_S, "it is open")
