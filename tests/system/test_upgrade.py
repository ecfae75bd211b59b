"""WebSockets pass through: the handshake to the letter, the tunnel both ways
with back-pressure and half a close, and a thousand of them through every kind
of reload. promises/front.md, "Upgrade".
"""

import asyncio
import hashlib
import os
import re
import signal
import socket
import threading

import pytest
import websocket
from hosting import walk
from hosting.rawhttp import Broken
from hosting.site import copy_file
from hosting.wait import wait_for
from scripted import SOON_S, WIRE, Script, answer, deploy_wire, start_worker
from support import HERE, deploy_tiny

MANY = 1000
PLAIN_OR_TLS = pytest.mark.parametrize("tls", [False, True])


def slots(host, domain=WIRE):
    return walk.site_parts(host.status(), domain)["slots"]["web"]


# ---- on the wire


class Far:
    """A script that agrees and hands the worker's end of the tunnel to the test."""

    def __init__(self, agree=websocket.AGREED):
        self.agree = agree
        self.link = None
        self.opened = threading.Event()
        self.done = threading.Event()

    def __call__(self, link, _request):
        link.send(self.agree)
        self.link = link
        self.opened.set()
        self.done.wait(SOON_S * 4)
        return False


@pytest.fixture(scope="module")
def wire(host_for_module):
    host = host_for_module
    site = deploy_wire(host)
    site.write_yaml(site.yaml.read_text().replace(
        "routes:\n", "routes:\n  - {path: /idle, pool: web, tunnel_idle: 1s}\n"))
    with pytest.MonkeyPatch.context() as patch:
        # A sanitizer keeps 256 MiB of what was freed: that is not to be measured.
        patch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1")
        host.start_front()
    host.worker = start_worker(host)
    wait_for(lambda: host.get(WIRE, tls=False).status == 200, SOON_S, "the worker is found")
    yield host
    host.worker.stop()


@pytest.fixture
def tunnel(wire):
    """A function that opens one: the client's connection, and the worker's end."""
    made = []

    def new(tls=False, path="/ws", early=b""):
        far = Far()
        wire.worker.scripts[path.partition("?")[0]] = far
        near = wire.connect(WIRE, tls=tls)
        made.append((near, far))
        near.send(websocket.ask(WIRE, path) + early)
        assert near.read_response().status == 101
        assert far.opened.wait(SOON_S)
        return near, far.link

    yield new
    for near, far in made:
        far.done.set()
        near.close()
    wait_for(lambda: slots(wire)["busy"] == 0, SOON_S, "the slot is free")


def test_handshake_is_made_anew_on_both_sides(wire, tunnel):
    tunnel()
    request = wire.worker.last("/ws")
    assert request.get("connection").lower() == "upgrade"
    assert request.get("upgrade") == "websocket"
    assert request.get("sec-websocket-key") == "AAECAwQFBgcICQoLDA0ODw=="
    assert request.get("x-forwarded-for") == "127.0.0.1"
    assert request.get("content-length") is None


def test_handshake_drops_what_was_for_one_hop(wire):
    wire.worker.scripts["/hop"] = Script(websocket.AGREED, close=True)
    with wire.connect(WIRE, tls=False) as near:
        near.send(websocket.ask(WIRE, "/hop", more=["Connection: x-hop, keep-alive", "X-Hop: 1"]))
        response = near.read_response()
    assert (response.status, response.get("upgrade")) == (101, "websocket")
    assert response.get("connection").lower() == "upgrade"
    assert response.get("sec-websocket-accept") == "as-the-worker-says"
    assert response.get("content-length") is None and response.get("transfer-encoding") is None
    assert wire.worker.last("/hop").get("x-hop") is None


def test_early_bytes_reach_nobody_before_the_answer(wire):
    """Or else whoever thinks that this is HTTP reads a request in them."""
    ask, agree, seen = threading.Event(), threading.Event(), []

    def script(link, _request):
        ask.set()
        agree.wait(SOON_S)
        link.raw.setblocking(False)
        try:
            seen.append(link.received + link.raw.recv(100))
        except BlockingIOError:
            seen.append(link.received)
        link.raw.setblocking(True)
        link.send(websocket.AGREED)
        while b"smuggled" not in link.received:
            assert link.more()
        link.send(b"got it")
        return False

    wire.worker.scripts["/early"] = script
    with wire.connect(WIRE, tls=False) as near:
        near.send(websocket.ask(WIRE, "/early") + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ask.wait(SOON_S)
        near.send(b"and more")
        agree.set()
        assert near.read_response().status == 101
        assert near.read_some_until(b"got it") == b"got it"
    assert seen == [b""]
    assert not [r for r in wire.worker.requests if r.path == "/smuggled"]


def test_refusal_is_an_answer_as_any_other(wire):
    links = []

    def script_of(reply):
        def script(link, request):
            links.append(link)
            return Script(reply)(link, request)
        return script

    wire.worker.scripts["/no"] = script_of(answer("403 Forbidden", body=b"no\n"))
    wire.worker.scripts["/after"] = script_of(answer())
    with wire.connect(WIRE, tls=False) as near:
        near.send(websocket.ask(WIRE, "/no"))
        response = near.read_response()
        assert (response.status, response.body) == (403, b"no\n")
        near.request("GET", "/after", {"Host": WIRE})
        assert near.read_response().status == 200, "the client's connection goes on"
    asked, after = links
    assert after is not asked, "the one that asked is not used again"
    wait_for(lambda: asked.raw.fileno() < 0, SOON_S, "the front has closed it")


NOT_ASKED = {
    "h2c": b"GET /not HTTP/1.1\r\n%bConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\n"
           b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "no-connection": b"GET /not HTTP/1.1\r\n%bUpgrade: websocket\r\n\r\n",
    "post": b"POST /not HTTP/1.1\r\n%bConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Content-Length: 0\r\n\r\n",
    "body": b"GET /not HTTP/1.1\r\n%bConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Content-Length: 2\r\n\r\nhi",
    "1.0": b"GET /not HTTP/1.0\r\n%bConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("kind", NOT_ASKED)
def test_what_is_no_websocket_is_a_plain_request(wire, kind):
    with wire.connect(WIRE, tls=False) as near:
        near.send(NOT_ASKED[kind] % f"Host: {WIRE}\r\n".encode())
        assert near.read_response().status == 200
    request = wire.worker.last("/not")
    assert request.get("upgrade") is None and request.get("connection") is None
    assert request.get("http2-settings") is None or kind != "h2c"


@pytest.mark.parametrize("agree", [websocket.AGREED.replace(b"websocket", b"h2c"),
                                   b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
def test_worker_that_changes_to_something_else_is_refused(wire, agree):
    wire.worker.scripts["/other"] = Script(agree, close=True)
    with wire.connect(WIRE, tls=False) as near:
        near.send(websocket.ask(WIRE, "/other"))
        assert near.read_response().status == 502


# ---- the tunnel


def test_worker_may_speak_after_the_clients_end(tunnel):
    """Plain only: Python's ssl cannot close one side alone."""
    near, link = tunnel()
    near.send(b"my last words")
    near.raw.shutdown(socket.SHUT_WR)
    link.ended()
    assert link.received == b"my last words"
    link.send(b"and mine")
    link.raw.close()
    assert near.read_rest() == b"and mine"


@PLAIN_OR_TLS
def test_client_may_speak_after_the_workers_end(tunnel, tls):
    near, link = tunnel(tls)
    link.send(b"bye")
    link.raw.shutdown(socket.SHUT_WR)
    assert near.read_rest() == b"bye"
    near.send(b"I still talk")
    while b"I still talk" not in link.received:
        assert link.more()
    near.close()
    link.ended()
    assert link.received == b"I still talk"


@PLAIN_OR_TLS
def test_client_that_vanishes_is_told_to_the_worker(wire, tunnel, tls):
    near, link = tunnel(tls)
    assert slots(wire)["tunnels"] == 1 and slots(wire)["busy"] == 1
    near.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    near.close()
    link.ended()
    # The worker has not closed its side: it may still work, and holds its slot.
    assert slots(wire)["busy"] == 1
    link.raw.close()
    wait_for(lambda: slots(wire) | {"oldest_ms": 0} ==
             {"total": 1, "busy": 0, "queued": 0, "oldest_ms": 0, "tunnels": 0},
             SOON_S, "its slot is free")


@PLAIN_OR_TLS
def test_client_that_vanishes_after_the_workers_end_is_told_too(wire, tunnel, tls):
    near, link = tunnel(tls)
    link.send(b"bye")
    link.raw.shutdown(socket.SHUT_WR)
    assert near.read_some_until(b"bye") == b"bye"
    near.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    near.close()
    link.raw.settimeout(SOON_S)
    assert link.raw.recv(1) == b""
    wait_for(lambda: slots(wire)["busy"] == 0, SOON_S, "its slot is free")


@PLAIN_OR_TLS
def test_worker_that_closes_after_its_half_frees_the_slot(wire, tunnel, tls):
    near, link = tunnel(tls)
    link.send(b"bye")
    link.raw.shutdown(socket.SHUT_WR)
    assert near.read_rest() == b"bye"
    assert slots(wire)["busy"] == 1, "the client may still speak"
    link.raw.close()
    wait_for(lambda: slots(wire)["busy"] == 0, SOON_S, "its slot is free though the client stays")


@PLAIN_OR_TLS
def test_worker_that_dies_ends_the_tunnel(tunnel, tls):
    near, link = tunnel(tls)
    near.send(b"unread")
    link.raw.close()
    try:
        assert near.read_rest() == b""
    except Broken:
        pass  # a reset is as good an end


def test_silent_tunnel_is_closed_and_a_talking_one_is_not(wire, tunnel):
    near, link = tunnel(path="/idle")
    for _ in range(4):  # longer than the second that it may be silent
        with pytest.raises(TimeoutError):
            near.raw.settimeout(0.5)
            near.raw.recv(1)
        near.send(b"x")
    near.raw.settimeout(SOON_S)
    link.ended()
    assert link.received == b"xxxx"
    with pytest.raises((Broken, AssertionError)):
        assert near.read_rest() != b""
    link.raw.close()
    lines = (wire.sites[WIRE].logs / "error.log")
    assert not lines.exists() or "/idle" not in lines.read_text(), "nobody is to blame"


FULL = bytes(range(256)) * 4096 * 64  # 64 MiB
HELD_MAX = 16 << 20  # of it in our memory


def front_memory(host):
    return sum(process["rss_bytes"] for process in host.daemon_status("front")["processes"])


def push(raw, data):
    """Send what the other end takes; the rest is for later."""
    raw.settimeout(2)
    sent = 0
    try:
        while sent < len(data):
            sent += raw.send(data[sent:sent + 65536])
    except TimeoutError:
        pass
    raw.settimeout(SOON_S)
    return sent


def drain(read, size, digest):
    while size > 0:
        data = read(65536)
        assert data
        digest.update(data)
        size -= len(data)


@PLAIN_OR_TLS
def test_slow_worker_slows_the_client(wire, tunnel, tls):
    near, link = tunnel(tls)
    before = front_memory(wire)
    sent = push(near.raw, FULL)
    assert sent < len(FULL) and front_memory(wire) < before + HELD_MAX
    digest = hashlib.sha256()
    reader = threading.Thread(target=drain, args=(link.raw.recv, len(FULL), digest))
    reader.start()
    near.raw.sendall(FULL[sent:])
    reader.join(SOON_S)
    assert digest.digest() == hashlib.sha256(FULL).digest()


@PLAIN_OR_TLS
def test_slow_client_slows_the_worker(wire, tunnel, tls):
    near, link = tunnel(tls)
    before = front_memory(wire)
    sent = push(link.raw, FULL)
    assert sent < len(FULL) and front_memory(wire) < before + HELD_MAX
    writer = threading.Thread(target=link.raw.sendall, args=(FULL[sent:],))
    writer.start()
    digest = hashlib.sha256()
    drain(near.raw.recv, len(FULL), digest)
    writer.join(SOON_S)
    assert digest.digest() == hashlib.sha256(FULL).digest()


def test_closed_site_answers_the_handshake_and_leaves_the_tunnels(wire, tunnel):
    near, link = tunnel()
    wire.amyctl("maintenance", "on", WIRE)
    try:
        with wire.connect(WIRE, tls=False) as late:
            late.send(websocket.ask(WIRE, "/ws"))
            response = late.read_response()
            assert response.status == 503 and response.get("retry-after")
        near.send(b"still here")
        while b"still here" not in link.received:
            assert link.more()
    finally:
        wire.amyctl("maintenance", "off", WIRE)


def test_access_log_has_a_line_when_it_is_over(wire, tunnel):
    near, link = tunnel(path="/ws?logged")
    link.send(b"12345")
    assert near.read_some_until(b"12345")
    near.close()
    link.ended()
    link.raw.close()
    log = wire.sites[WIRE].logs / "access.log"
    line = wait_for(lambda: re.search(r'.*"GET /ws\?logged HTTP/1.1" 101 5 .*', log.read_text()),
                    SOON_S, "the line")
    assert "web/1.0" in line.group()


def test_graceful_stop_waits_for_tunnels(new_host):
    host = new_host(processes=1)
    deploy_wire(host)
    host.start_front()
    host.worker = start_worker(host)
    wait_for(lambda: host.get(WIRE, tls=False).status == 200, SOON_S, "the worker is found")
    far = Far()
    host.worker.scripts["/ws"] = far
    with host.connect(WIRE, tls=False) as near, host.connect(WIRE, tls=False) as idle:
        near.send(websocket.ask(WIRE, "/ws"))
        assert near.read_response().status == 101
        assert far.opened.wait(SOON_S)
        idle.request("GET", "/static/a.txt", {"Host": WIRE})
        assert idle.read_response().status == 200
        host.front.send(signal.SIGTERM)
        assert idle.is_closed_by_peer(), "it drains"
        near.send(b"ping")
        while b"ping" not in far.link.received:
            assert far.link.more()
        far.link.send(b"pong")
        assert near.read_some_until(b"pong") == b"pong"
        assert host.front.code is None
    far.link.ended()
    far.done.set()
    wait_for(lambda: host.front.code == 0, SOON_S, "it ended with the last tunnel")
    host.front = None
    host.worker.stop()


def test_graceful_stop_waits_longer_for_requests_than_for_tunnels(new_host):
    """Whose ends are their clients' business; 5 s of the 30."""
    host = new_host(processes=1)
    deploy_wire(host)
    host.start_front()
    far, let_go = Far(), threading.Event()

    def hold(link, _request):
        let_go.wait(SOON_S)
        link.send(answer())
        return True

    workers = [start_worker(host, name) for name in ("1.0", "1.1")]
    for worker in workers:
        worker.scripts.update({"/ws": far, "/hold": hold})
    wait_for(lambda: slots(host)["total"] == 2, SOON_S, "the workers are found")
    with host.connect(WIRE, tls=False) as near, host.connect(WIRE, tls=False) as asking:
        near.send(websocket.ask(WIRE, "/ws"))
        assert near.read_response().status == 101
        asking.request("GET", "/hold", {"Host": WIRE})
        wait_for(lambda: slots(host)["busy"] == 2, SOON_S, "both are under way")
        host.front.send(signal.SIGTERM)
        far.link.ended()
        assert near.is_closed_by_peer()
        assert host.front.code is None, "it waits for the request"
        let_go.set()
        assert asking.read_response().status == 200
    far.done.set()
    wait_for(lambda: host.front.code == 0, SOON_S, "it ended with the last request")
    host.front = None
    for worker in workers:
        worker.stop()


# ---- a thousand


ECHO = "echo.localhost"
ECHO_YAML = """\
site: {domain}
user: {user}
http: serve
health: {{bake: 300ms}}
workers:
  - {{name: web, command: [python, echo.py], slots: 2000, stop: {{patience: 60s}}}}
routes: [{{path: /, pool: web}}]
"""


@pytest.fixture
def echo(new_host, django_venv):
    host = new_host()
    site = deploy_tiny(host, ECHO, django_venv, ECHO_YAML)
    copy_file(HERE / "apps" / "echo.py", site.repo / "echo.py")
    host.start_workers()
    host.start_front()
    wait_for(lambda: host.get(ECHO, tls=False).status == 200, SOON_S, "the worker is found")
    return host


def leaf(host):
    with host.connect(ECHO) as connection:
        return connection.certificate()


def served_by(host):
    return host.get(ECHO, tls=False).body


async def in_thread(condition, what):
    await asyncio.to_thread(wait_for, condition, SOON_S, what)


async def change_everything(host, sockets):
    """Each kind of reload; after each, all still say back what they are told."""
    assert await websocket.all_say_back(sockets, "hello") == MANY
    assert (await asyncio.to_thread(slots, host, ECHO))["tunnels"] == MANY

    before = [p["bundle"] for p in host.daemon_status("front")["processes"]]
    host.front.send(signal.SIGHUP)
    await in_thread(lambda: all(p["bundle"] > max(before) for p in
                                host.daemon_status("front")["processes"]), "a new bundle")
    assert await websocket.all_say_back(sockets, "after SIGHUP") == MANY

    site = host.sites[ECHO]
    site.write_yaml(site.yaml.read_text() + "limits: {body: 1MiB}\n")
    await asyncio.to_thread(host.amyctl, "reload")
    assert await websocket.all_say_back(sockets, "after amyctl reload") == MANY

    old = await asyncio.to_thread(leaf, host)
    host.authority.issue(host.certificates / ECHO, [ECHO], days=30)
    host.front.send(signal.SIGHUP)
    await in_thread(lambda: leaf(host) != old, "the new certificate is served")
    assert await websocket.all_say_back(sockets, "after a new certificate") == MANY


async def replace_worker(host, sockets):
    """The old one keeps its tunnels while it drains, new requests go to the new
    one; when its tunnels are closed it ends."""
    old = sockets[0].hello
    await asyncio.to_thread(host.amyctl, "reload", ECHO)
    await in_thread(lambda: served_by(host) != old, "the new worker serves")
    new = await websocket.Socket.open(host, ECHO, tls=False)
    assert new.hello != old
    assert await websocket.all_say_back(sockets, "while the old one drains") == MANY
    assert {s.hello for s in sockets} == {old}
    await asyncio.gather(*(s.close() for s in sockets))
    await in_thread(lambda: not os.path.exists(f"/proc/{old.decode()}"), "the old worker ended")
    assert await new.says_back(b"goodbye")
    await new.close()


@PLAIN_OR_TLS
def test_a_thousand_live_through_every_reload(echo, tls):
    async def body():
        sockets = await websocket.open_many(echo, ECHO, tls, MANY)
        await change_everything(echo, sockets)
        if tls:
            await asyncio.gather(*(s.close() for s in sockets))
        else:
            await replace_worker(echo, sockets)

    asyncio.run(body())
    wait_for(lambda: slots(echo, ECHO)["tunnels"] == 0, SOON_S, "all are counted out")
    assert slots(echo, ECHO)["busy"] == 0


def test_patience_that_is_over_ends_the_tunnels(new_host, django_venv):
    host = new_host()
    site = deploy_tiny(host, ECHO, django_venv, ECHO_YAML.replace("60s", "1s"))
    copy_file(HERE / "apps" / "echo.py", site.repo / "echo.py")
    host.start_workers()
    host.start_front()
    wait_for(lambda: host.get(ECHO, tls=False).status == 200, SOON_S, "the worker is found")

    async def body():
        held = await websocket.Socket.open(host, ECHO, tls=False)
        await asyncio.to_thread(host.amyctl, "reload", ECHO)
        assert await asyncio.wait_for(held.receive(), SOON_S) is None
        after = await websocket.Socket.open(host, ECHO, tls=False)
        assert after.hello != held.hello
        await after.close()

    asyncio.run(body())
