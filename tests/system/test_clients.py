"""Clients that are slow, silent, greedy, gone or at the wrong door, and what
that costs the workers: nothing that the design does not say.
"""

import json
import os
import socket
import ssl
import subprocess
import threading

import pytest
from hosting import users, walk
from hosting.rawhttp import Broken, client_context
from hosting.wait import wait_for
from scripted import SOON_S, WIRE, Script, answer, busy_slots, deploy_wire, slots, start_worker
from support import open_files, status_of_process

HOST = f"Host: {WIRE}\r\n".encode()
LARGE = bytes(range(256)) * (64 << 10)  # 16 MiB
OTHER = "other.localhost"


@pytest.fixture(scope="module")
def wire(host_for_module):
    host = host_for_module
    deploy_wire(host)
    deploy_wire(host, OTHER, health="false")
    host.start_front()
    host.worker = start_worker(host)
    wait_for(lambda: host.get(WIRE, tls=False).status == 200, SOON_S, "the worker is found")
    yield host
    host.worker.stop()


def slot_is_free(host):
    wait_for(lambda: busy_slots(host) == 0, SOON_S, "the slot is free")


def narrow(connection):
    """The kernel holds less for this client than an answer has."""
    connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)


# ---- slow readers


ANSWERS = {
    "length": Script(answer(body=LARGE)),
    "chunked": Script(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(LARGE)
                      + LARGE + b"\r\n0\r\n\r\n"),
    "until-close": Script(b"HTTP/1.1 200 OK\r\n\r\n" + LARGE, close=True),
}


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", ANSWERS)
def test_slow_reader_does_not_hold_the_slot(wire, kind, tls):
    wire.worker.scripts["/large"] = ANSWERS[kind]
    with wire.connect(WIRE, tls=tls) as connection:
        narrow(connection)
        connection.request("GET", "/large", {"Host": WIRE})
        connection.read_some_until(b"200 OK")
        slot_is_free(wire)
        assert wire.get(WIRE, tls=False).status == 200


@pytest.mark.parametrize("kind", ANSWERS)
def test_slow_reader_gets_all_of_it(wire, kind):
    wire.worker.scripts["/large"] = ANSWERS[kind]
    with wire.connect(WIRE, tls=False) as connection:
        narrow(connection)
        connection.request("GET", "/large", {"Host": WIRE})
        slot_is_free(wire)
        assert connection.read_response().body == LARGE


@pytest.mark.parametrize("kind", ANSWERS)
def test_reader_that_closed_its_sending_side_gets_all_of_it(wire, kind):
    wire.worker.scripts["/large"] = ANSWERS[kind]
    with wire.connect(WIRE, tls=False) as connection:
        narrow(connection)
        connection.request("GET", "/large", {"Host": WIRE})
        connection.raw.shutdown(socket.SHUT_WR)
        slot_is_free(wire)
        assert connection.read_response().body == LARGE


def test_readers_that_closed_their_sending_side_cost_no_memory(wire):
    """What they have not read lies in files, and not in memory."""
    body = LARGE * 3
    wire.worker.scripts["/huge"] = Script(answer(body=body))
    pids = [process["pid"] for process in walk.merged(wire.status(), "processes")]
    before = memory_kib(pids)
    connections = [wire.connect(WIRE, tls=False) for _ in range(4)]
    for connection in connections:
        narrow(connection)
        connection.request("GET", "/huge", {"Host": WIRE})
        connection.read_some_until(b"200 OK")
        slot_is_free(wire)
        connection.raw.shutdown(socket.SHUT_WR)
    assert wire.get(WIRE, tls=False).status == 200
    assert spooled_bytes(wire, pids) > 4 * (len(body) - IN_KERNEL)
    if not os.environ.get("ASAN_OPTIONS"):  # it keeps what was freed
        assert memory_kib(pids) - before < 4 * MEMORY_EACH_KIB
    for connection in connections:
        connection.close()
    log = wire.sites[WIRE].logs / "access.log"
    wait_for(lambda: log.read_text().count("/huge") == 4, SOON_S, "those who left are forgotten")
    wait_for(lambda: spooled_bytes(wire, pids) == 0, SOON_S, "and so is what was kept for them")


IN_KERNEL = 16 << 20  # of one answer: what sockets hold, at the very most
MEMORY_EACH_KIB = 2048  # a quarter of a MiB of the answer; then buffers of ours


def memory_kib(pids):
    return sum(int(status_of_process(pid)["VmRSS"].split()[0]) for pid in pids)


def spooled_bytes(host, pids):
    """In files below the spool directory that have no name any more."""
    spool = f"{host.state}/spool/"
    return sum(os.stat(f"/proc/{pid}/fd/{number}").st_size for pid in pids
               for number, target in open_files(pid).items() if target.startswith(spool))


@pytest.mark.root
def test_full_spool_makes_the_worker_wait_and_loses_nothing(new_host):
    host = new_host()
    spool = host.root / "spool"
    spool.mkdir()
    owner = users.front_user()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=1m,mode=0700,uid={owner.uid}",
                    "amy-test", str(spool)], check=True)
    try:
        settings = json.loads(host.settings.read_text())
        host.settings.write_text(json.dumps(settings | {"spool": str(spool)}))
        deploy_wire(host)
        host.start_front()
        worker = start_worker(host)
        worker.scripts["/large"] = Script(answer(body=LARGE))
        for left in (1 << 20, 8192):
            (spool / "filler").write_bytes(bytes((1 << 20) - left))
            with host.connect(WIRE, tls=False) as connection:
                narrow(connection)
                connection.request("GET", "/large", {"Host": WIRE})
                wait_for(lambda: busy_slots(host) == 1, SOON_S, "asked")
                received = connection.read_some_until(b"200 OK")
                assert busy_slots(host) == 1, "the fault was injected"
                connection.send(b"GET /static/a.txt HTTP/1.1\r\n" + HOST + b"\r\n")
                received += connection.read_some_until(b"alpha")
                assert LARGE in received
            (spool / "filler").unlink()
        worker.stop()
    finally:
        host.stop()
        subprocess.run(["umount", "--lazy", str(spool)], check=False)


# ---- clients that leave


def endless(link, _request):
    link.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    while True:
        link.send(b"data: more\n\n" * 100)


@pytest.mark.parametrize("tls", [False, True])
def test_worker_of_an_endless_stream_learns_that_its_client_left(wire, tls):
    wire.worker.scripts["/endless"] = endless
    with wire.connect(WIRE, tls=tls) as connection:
        connection.request("GET", "/endless", {"Host": WIRE})
        connection.read_some_until(b"data: more")
    slot_is_free(wire)
    assert wire.get(WIRE, tls=False).status == 200


def test_worker_of_a_quiet_stream_learns_that_its_client_left(wire):
    """It may say nothing for long: its connection ends at once."""
    ended = threading.Event()

    def quiet(link, _request):
        link.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        link.ended()
        ended.set()
        return False

    wire.worker.scripts["/quiet"] = quiet
    with wire.connect(WIRE, tls=False) as connection:
        connection.request("GET", "/quiet", {"Host": WIRE})
        connection.read_some_until(b"data: 1")
    assert ended.wait(SOON_S)
    slot_is_free(wire)


def test_stream_that_begins_after_its_client_left_is_ended(wire):
    asked, go = threading.Event(), threading.Event()

    def late(link, request):
        asked.set()
        assert go.wait(SOON_S)
        return endless(link, request)

    wire.worker.scripts["/late"] = late
    with wire.connect(WIRE, tls=False) as connection:
        connection.request("GET", "/late", {"Host": WIRE})
        assert asked.wait(SOON_S)
    assert busy_slots(wire) == 1
    go.set()
    slot_is_free(wire)


def test_slot_stays_with_the_worker_when_its_client_leaves(wire):
    asked, go = threading.Event(), threading.Event()

    def slow(link, _request):
        asked.set()
        assert go.wait(SOON_S)
        link.send(answer(body=LARGE))
        return True

    wire.worker.scripts["/slow"] = slow
    with wire.connect(WIRE, tls=False) as connection:
        connection.request("GET", "/slow", {"Host": WIRE})
        assert asked.wait(SOON_S)
    assert wire.get(WIRE, "/static/a.txt", tls=False).status == 200, "the loop has seen it"
    assert busy_slots(wire) == 1
    with wire.connect(WIRE, tls=False) as queued:
        queued.request("GET", "/queued", {"Host": WIRE})
        wait_for(lambda: slots(wire)["queued"] == 1, SOON_S, "the next waits")
        assert not [request for request in wire.worker.requests if request.path == "/queued"]
    wait_for(lambda: slots(wire)["queued"] == 0, SOON_S, "who leaves the queue is forgotten")
    go.set()
    slot_is_free(wire)
    assert wire.get(WIRE, tls=False).status == 200
    assert not [request for request in wire.worker.requests if request.path == "/queued"]


def test_upload_that_ends_early_reaches_no_worker(wire):
    for data in (b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"):
        with wire.connect(WIRE, tls=False) as connection:
            connection.send(b"POST /half HTTP/1.1\r\n" + HOST + data)
            connection.raw.shutdown(socket.SHUT_WR)
            with pytest.raises(Broken):
                connection.read_response()
    assert not [request for request in wire.worker.requests if request.path == "/half"]


# ---- clients that are slow to ask


def test_dripping_clients_get_408(wire):
    """A head of 10 s, a body of less than 500 B/s after 5 s; one test, for the
    waiting is the same."""
    head = wire.connect(WIRE, tls=False)
    body = wire.connect(WIRE, tls=False)
    secure = wire.connect(WIRE)
    silent = wire.connect(WIRE, tls=False)
    shaking = socket.create_connection(("127.0.0.1", wire.https), timeout=60)
    head.send(b"GET / HTTP/1.1\r\n")
    body.send(b"POST /dripped HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n")
    secure.send(b"POST /dripped HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n")
    shaking.sendall(b"\x16\x03\x01")
    stop = threading.Event()

    def drip():
        while not stop.wait(0.5):
            for connection, data in ((head, b"A: b\r\n"), (body, b"x"), (secure, b"x")):
                try:
                    connection.send(data)
                except OSError:
                    pass

    dripper = threading.Thread(target=drip, daemon=True)
    dripper.start()
    try:
        for connection in (body, secure, head):
            response = connection.read_response()
            assert response.status == 408 and response.get("connection") == "close"
        assert silent.is_closed_by_peer(), "who says nothing gets no answer"
        assert shaking.recv(1) == b"", "a handshake has 10 s"
    finally:
        stop.set()
        dripper.join()
        for connection in (head, body, secure, silent, shaking):
            connection.close()
    assert not [request for request in wire.worker.requests if request.path == "/dripped"]


# ---- Expect


@pytest.mark.parametrize("fields, status", [
    (f"Host: {WIRE}\r\nContent-Length: {2 << 20}", 413), ("Host: nobody\r\nContent-Length: 5", 421),
    (f"Host: {WIRE}\r\nContent-Length: five", 400),
])
def test_final_answer_that_is_known_comes_without_100(wire, fields, status):
    with wire.connect(WIRE, tls=False) as connection:
        connection.send(f"POST /expect HTTP/1.1\r\n{fields}\r\nExpect: 100-continue\r\n\r\n".encode())
        response = connection.read_response()
        assert (response.status, response.interim) == (status, [])
        assert response.get("connection") == "close" and connection.is_closed_by_peer()


def test_other_expectations_are_417(wire):
    with wire.connect(WIRE, tls=False) as connection:
        connection.request("GET", "/expect", {"Host": WIRE, "Expect": "foo"})
        assert connection.read_response().status == 417
    assert not [request for request in wire.worker.requests if request.path == "/expect"]


def test_expectation_of_1_0_is_none(wire):
    with wire.connect(WIRE, tls=False) as connection:
        connection.send(b"POST /old HTTP/1.0\r\n" + HOST
                        + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        connection.send(b"ab")
        response = connection.read_response()
        assert (response.status, response.interim) == (200, [])


def test_refused_upload_is_read_so_that_the_answer_arrives(wire):
    """A client that sends all of its body before it listens."""
    for tls in (False, True):
        with wire.connect(WIRE, tls=tls) as connection:
            connection.send(b"POST /big HTTP/1.1\r\n" + HOST + b"Content-Length: 16777216\r\n\r\n")
            for _ in range(16):
                connection.send(bytes(1 << 20))
            assert connection.read_response().status == 413


# ---- at the wrong door


def test_unknown_host_is_421_and_health_is_for_any(wire):
    for tls in (False, True):
        with wire.connect(WIRE, tls=tls) as connection:
            connection.request("GET", "/", {"Host": "nobody.example"})
            assert connection.read_response().status == 421
            connection.request("GET", "/healthz", {"Host": "10.0.0.1"})
            assert connection.read_response().status == 200
            connection.request("GET", "/healthz/not", {"Host": "10.0.0.1"})
            assert connection.read_response().status == 421


def test_host_of_another_certificate_is_421(wire):
    with wire.connect(WIRE) as connection:
        connection.request("GET", "/", {"Host": OTHER})
        assert connection.read_response().status == 421
        connection.request("GET", "/", {"Host": WIRE})
        assert connection.read_response().status == 200


METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@pytest.mark.parametrize("target, host", [
    ("TRACE /", WIRE), ("CONNECT example.org:443", WIRE), ("CONNECT example.org:443", "example.org"),
    (f"CONNECT {WIRE}:443", WIRE), ("CONNECT [::1]:22", WIRE),
])
@pytest.mark.parametrize("tls", [False, True])
def test_trace_and_connect_are_405(wire, target, host, tls):
    """Whatever a tunnel should lead to: there are none here."""
    with wire.connect(WIRE, tls=tls) as connection:
        connection.send(f"{target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        response = connection.read_response()
        assert response.status == 405 and response.get("allow") == METHODS
        connection.request("GET", "/", {"Host": WIRE})
        assert connection.read_response().status == 200, "what follows is no tunnel's"
    assert not [request for request in wire.worker.requests
                if request.line.startswith(("TRACE", "CONNECT"))]


def test_options_of_the_server(wire):
    with wire.connect(WIRE, tls=False) as connection:
        for _ in range(2):
            connection.request("OPTIONS", "*", {"Host": WIRE})
            response = connection.read_response()
            assert response.status == 204 and response.get("allow") == METHODS
    assert not [request for request in wire.worker.requests if request.path == "*"]


# ---- static files


def static(wire, path="a.txt", method="GET", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return wire.get(WIRE, f"/static/{path}", method, headers, tls=False)


def test_static_file_has_what_a_cdn_asks_for(wire):
    response = static(wire)
    etag = response.get("etag")
    assert response.body == b"alpha\n" and etag.startswith('"')
    modified = response.get("last-modified")
    assert response.get("content-type").startswith("text/plain")
    head = static(wire, method="HEAD")
    assert head.body == b"" and head.get("content-length") == "6" and head.get("etag") == etag
    past = "Thu, 01 Jan 1970 00:00:00 GMT"
    for status, fields in (
        (304, {"If_None_Match": etag}), (304, {"If_None_Match": f'"x", W/{etag}'}),
        (304, {"If_None_Match": "*"}), (304, {"If_Modified_Since": modified}),
        (200, {"If_None_Match": '"x"', "If_Modified_Since": modified}),
        (200, {"If_Modified_Since": "nonsense"}), (412, {"If_Match": '"x"'}),
        (200, {"If_Match": etag}), (412, {"If_Match": f"W/{etag}"}),
        (412, {"If_Unmodified_Since": past}), (200, {"If_Match": "*", "If_Unmodified_Since": past}),
        (200, {"Range": "lines=1-2"}),
    ):
        response = static(wire, **fields)
        assert response.status == status, fields
        if status == 304:
            assert response.get("etag") == etag and not response.all("content-type")


@pytest.mark.parametrize("path, status", [
    (".hidden", 404), ("out", 404), ("pipe", 404), ("../site.yaml", 404), ("..%2fsite.yaml", 404),
    ("%2e%2e/site.yaml", 404), ("none", 404), ("", 404), ("a.txt/", 404), ("a.txt/b", 404),
    ("./a.txt", 200), ("b/../a.txt", 200), ("a%2etxt", 200), ("a.txt?v=1", 200),
])
def test_static_paths_stay_beneath(wire, path, status):
    assert static(wire, path).status == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_static_files_are_only_read(wire, method):
    response = static(wire, method=method)
    assert response.status == 405 and response.get("allow") == "GET, HEAD"


@pytest.mark.parametrize("tls", [False, True])
def test_large_file_comes_whole_to_a_slow_reader(wire, tls):
    wanted = bytes(range(256)) * 4096
    with wire.connect(WIRE, tls=tls) as connection:
        narrow(connection)
        for _ in range(2):
            connection.request("GET", "/static/large.bin", {"Host": WIRE})
            assert connection.read_response().body == wanted


# ---- TLS


def test_last_answer_over_tls_ends_with_close_notify(wire):
    with wire.connect(WIRE) as connection:
        connection.raw.suppress_ragged_eofs = False
        connection.request("GET", "/", {"Host": WIRE, "Connection": "close"})
        assert connection.read_response().status == 200
        assert connection.raw.recv(1) == b"", "close_notify, or this raises"


def test_client_that_closes_without_close_notify_gets_its_answer(wire):
    go = threading.Event()
    wire.worker.scripts["/torn"] = lambda link, _: go.wait(SOON_S) and (
        link.send(answer()) or True)
    with wire.connect(WIRE) as connection:
        connection.request("GET", "/torn", {"Host": WIRE})
        wait_for(lambda: busy_slots(wire) == 1, SOON_S, "it works")
        socket.socket.shutdown(connection.raw, socket.SHUT_WR)
        go.set()
        assert connection.read_response().status == 200


def test_tickets_offer_no_early_data(wire):
    """Each says how much may be sent before the handshake: nothing. They are
    good for the next handshake all the same, whichever process that meets."""
    goodbye = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{wire.https}", "-servername", WIRE,
         "-tls1_3", "-ign_eof"], input=goodbye, capture_output=True, check=False, timeout=60).stdout
    tickets = shown.count(b"New Session Ticket arrived")
    assert tickets > 0 and shown.count(b"Max Early Data: 0\n") == tickets
    context = client_context(wire.authority.certificate)
    with wire.connect(WIRE, context=context) as connection:
        connection.request("GET", "/", {"Host": WIRE})
        assert connection.read_response().status == 200
        session = connection.raw.session
    for _ in range(4):
        raw = socket.create_connection(("127.0.0.1", wire.https), timeout=60)
        with context.wrap_socket(raw, server_hostname=WIRE, session=session) as again:
            assert again.session_reused


# ---- the closed gate


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("chunked, mib", [(False, 20), (True, 20), (False, 64), (True, 64)])
def test_closed_gate_answers_uploads_of_the_size_allowed(new_host, tls, chunked, mib):
    host = new_host()
    deploy_wire(host, limits=f"body: {mib}MiB")
    host.start_front()
    host.amyctl("maintenance", "on", WIRE)
    size = mib << 20
    with host.connect(WIRE, tls=tls) as connection:
        if chunked:
            head = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size
        else:
            head = b"Content-Length: %d\r\n\r\n" % size
        connection.send(b"POST /up HTTP/1.1\r\n" + HOST + head)
        connection.send(bytes(size))
        if chunked:
            connection.send(b"\r\n0\r\n\r\n")
        response = connection.read_response()
        assert response.status == 503 and response.get("retry-after")
