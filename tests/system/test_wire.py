"""What is on the wire, to the letter: a real amy-front between clients that send
bytes and a worker that answers with bytes. promises/front.md line by line:
"Framing / smuggling", "Hop-by-hop / forwarding", "Responses".
"""

import re
import socket
import threading

import pytest
from hosting.rawhttp import Broken
from hosting.wait import wait_for
from scripted import SOON_S, WIRE, Script, answer, busy_slots, deploy_wire, slots, start_worker

BODY_MAX = 1 << 20


@pytest.fixture(scope="module")
def wire(host_for_module):
    host = host_for_module
    deploy_wire(host)
    deploy_wire(host, "other.localhost")
    host.start_front()
    host.worker = start_worker(host)
    wait_for(lambda: host.get(WIRE, tls=False).status == 200, SOON_S, "the worker is found")
    yield host
    host.worker.stop()


def fields_of(lines):
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def exchange(host, data, method="GET", tls=False):
    """The answer to these bytes, and whether the connection ended behind it."""
    with host.connect(WIRE, tls=tls) as connection:
        connection.send(data)
        response = connection.read_response(method)
        closes = (response.get("connection") or "").lower() == "close"
        if closes:
            assert connection.is_closed_by_peer(), "it said close and did not"
        return response, closes


# ---- what is refused


HOST = f"Host: {WIRE}\r\n".encode()
GET = b"GET /refused HTTP/1.1\r\n" + HOST
POST = b"POST /refused HTTP/1.1\r\n" + HOST
TE = b"Transfer-Encoding: chunked\r\n"
CHUNKED = POST + TE + b"\r\n"

REFUSED = {
    # two lengths of one message
    "length-and-chunked": (400, POST + b"Content-Length: 5\r\n" + TE + b"\r\n0\r\n\r\n"),
    "chunked-and-length": (400, POST + TE + b"Content-Length: 5\r\n\r\n0\r\n\r\n"),
    "two-lengths": (400, POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "equal-lengths": (400, POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na"),
    "list-of-lengths": (400, POST + b"Content-Length: 1, 1\r\n\r\na"),
    # codings
    "chunked-1.0": (400, b"POST /refused HTTP/1.0\r\n" + HOST + TE + b"\r\n0\r\n\r\n"),
    "xchunked": (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "gzip": (501, POST + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n"),
    "chunked-identity": (501, POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    "chunked-twice": (400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "chunked-lines": (400, POST + TE + TE + b"\r\n0\r\n\r\n"),
    "chunked-vt": (400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    # lengths that are none
    **{f"length-{value}": (400, POST + f"Content-Length: {value}\r\n\r\n".encode())
       for value in ("+5", "-1", "0x5", "5_0", "5 5", "", "9223372036854775808",
                     "99999999999999999999999")},
    # chunks that are none; the head was fine, so these come to an exchange
    **{f"chunk-{name}": (400, CHUNKED + bytes_) for name, bytes_ in {
        "0x": b"0x1\r\na\r\n0\r\n\r\n", "space": b"1 \r\na\r\n0\r\n\r\n",
        "leading-space": b" 1\r\na\r\n0\r\n\r\n", "sign": b"+1\r\na\r\n0\r\n\r\n",
        "underscore": b"1_0\r\na\r\n0\r\n\r\n", "long": b"00000000000000001\r\na\r\n0\r\n\r\n",
        "overflow": b"ffffffffffffffff\r\na\r\n0\r\n\r\n", "lf": b"1\na\r\n0\r\n\r\n",
        "data-lf": b"1\r\na\n0\r\n\r\n", "no-end": b"1\r\nab\r\n0\r\n\r\n",
        "last-lf": b"0\n\r\n", "empty": b"\r\n\r\n",
        "extensions": b"".join(b"1;" + b"x" * 900 + b"\r\na\r\n" for _ in range(6)),
        "trailer-fold": b"0\r\nA: b\r\n c\r\n\r\n",
    }.items()},
    "trailers-too-long": (431, CHUNKED + b"0\r\n" + b"A: " + b"b" * 40000 + b"\r\n\r\n"),
    # lines
    "lf-in-fields": (400, GET + b"A: b\nC: d\r\n\r\n"),
    "lf-ends-head": (400, GET + b"\n"),
    "lf-ends-request-line": (400, b"GET /refused HTTP/1.1\n" + HOST + b"\r\n"),
    "cr": (400, GET + b"A: b\rC: d\r\n\r\n"),
    "nul": (400, GET + b"A: b\0c\r\n\r\n"),
    "control": (400, GET + b"A: b\x01c\r\n\r\n"),
    "fold": (400, GET + b"A: b\r\n c\r\n\r\n"),
    "space-before-colon": (400, GET + b"A : b\r\n\r\n"),
    "space-before-first": (400, b"GET /refused HTTP/1.1\r\n " + HOST + b"\r\n"),
    "no-name": (400, GET + b": b\r\n\r\n"),
    "no-token": (400, GET + b"A(b): c\r\n\r\n"),
    "no-colon": (400, GET + b"A\r\n\r\n"),
    "three-empty-lines": (400, b"\r\n\r\n\r\n" + GET + b"\r\n"),
    # the request line
    "two-spaces": (400, b"GET  /refused HTTP/1.1\r\n" + HOST + b"\r\n"),
    "tab": (400, b"GET\t/refused HTTP/1.1\r\n" + HOST + b"\r\n"),
    "trailing-space": (400, b"GET /refused HTTP/1.1 \r\n" + HOST + b"\r\n"),
    "http-1.32": (400, b"GET /refused HTTP/1.32\r\n" + HOST + b"\r\n"),
    "http-1.2": (400, b"GET /refused HTTP/1.2\r\n" + HOST + b"\r\n"),
    "http-lower": (400, b"GET /refused http/1.1\r\n" + HOST + b"\r\n"),
    "http-0.9": (400, b"GET /refused\r\n"),
    "http-2.0": (505, b"GET /refused HTTP/2.0\r\n" + HOST + b"\r\n"),
    "method-no-token": (400, b"G=( /refused HTTP/1.1\r\n" + HOST + b"\r\n"),
    "method-long": (400, b"G" * 33 + b" /refused HTTP/1.1\r\n" + HOST + b"\r\n"),
    # the target
    "fragment": (400, b"GET /refused#a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target-0xff": (400, b"GET /refused\xff HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target-control": (400, b"GET /refused\x7f HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target-nul": (400, b"GET /refused%00 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target-star": (400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "connect-path": (400, b"CONNECT /refused HTTP/1.1\r\n" + HOST + b"\r\n"),
    "connect-url": (400, b"CONNECT http://a/refused HTTP/1.1\r\n" + HOST + b"\r\n"),
    "connect-port": (400, b"CONNECT refused:x HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target-bare": (400, b"GET refused HTTP/1.1\r\n" + HOST + b"\r\n"),
    # the host
    "no-host": (400, b"GET /refused HTTP/1.1\r\n\r\n"),
    "two-hosts": (400, GET + HOST + b"\r\n"),
    **{f"host-{name}": (400, b"GET /refused HTTP/1.1\r\nHost: " + value + b"\r\n\r\n")
       for name, value in {
           "userinfo": b"a@b/c", "user": b"a@" + WIRE.encode(), "comma": b"a,b",
           "slash": b"a/b", "backslash": b"a\\b", "long": b"a" * 256, "port": b"a:b",
       }.items()},
    # sizes
    "request-line": (414, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "head": (431, GET + b"A: " + b"b" * 40000 + b"\r\n\r\n"),
    "fields": (431, GET + b"A: b\r\n" * 100 + b"\r\n"),
    "body": (413, POST + b"Content-Length: %d\r\n\r\n" % (BODY_MAX + 1)),
    "body-chunked": (413, CHUNKED + b"%x\r\n" % (BODY_MAX + 1) + bytes(BODY_MAX + 1)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_closed_and_nothing_reaches_a_worker(wire, name):
    status, data = REFUSED[name]
    response, closes = exchange(wire, data)
    assert response.status == status, response.text
    assert closes, "Connection: close"
    assert not [request for request in wire.worker.requests if "refused" in request.line]


@pytest.mark.parametrize("split", [1, 7])
@pytest.mark.parametrize("name", ["length-and-chunked", "chunk-data-lf", "fold", "two-hosts",
                                  "chunk-0x", "three-empty-lines"])
def test_refused_however_the_bytes_come(wire, name, split):
    status, data = REFUSED[name]
    with wire.connect(WIRE, tls=False) as connection:
        try:
            for at in range(0, len(data), split):
                connection.send(data[at:at + split])
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert connection.read_response().status == status


def test_bytes_behind_a_refused_request_are_no_request(wire):
    """The second may be what an attacker hides behind the first."""
    with wire.connect(WIRE, tls=False) as connection:
        connection.send(REFUSED["length-and-chunked"][1] + GET.replace(b"refused", b"hidden")
                        + b"\r\n")
        assert connection.read_response().status == 400
        assert connection.is_closed_by_peer()
    assert not [request for request in wire.worker.requests if "hidden" in request.line]


ALLOWED = {
    "empty-lines": b"\r\n\r\n" + GET + b"\r\n",
    "absolute": b"GET http://" + WIRE.encode() + b"/refused HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
    "host-case-dot-port": b"GET /refused HTTP/1.1\r\nHost: WIRE.localhost.:80\r\n\r\n",
    "http-1.0": b"GET /refused HTTP/1.0\r\n" + HOST + b"\r\n",
    "chunked-case": POST + b"Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunk-extension": CHUNKED + b"1;a=b\r\na\r\n0\r\n\r\n",
    "99-fields": GET + b"A: b\r\n" * 99 + b"\r\n",
}


@pytest.mark.parametrize("name", ALLOWED)
def test_unusual_and_right(wire, name):
    data = ALLOWED[name].replace(b"/refused", b"/allowed")
    response, _ = exchange(wire, data)
    assert response.status == 200, response.text
    request = wire.worker.last("/allowed")
    assert request.get("host").lower().startswith(WIRE)


def test_every_field_of_a_full_head_reaches_the_worker(wire):
    response, _ = exchange(wire, b"GET /full HTTP/1.1\r\n" + HOST
                           + b"".join(b"A%d: b\r\n" % i for i in range(98))
                           + b"Authorization: last\r\n\r\n")
    assert response.status == 200
    request = wire.worker.last("/full")
    assert request.get("authorization") == "last"
    assert request.get("x-forwarded-for") == "127.0.0.1"
    assert len([name for name, _ in request.fields if name.startswith("A")]) == 99


@pytest.mark.parametrize("tls", [False, True])
def test_pipelined_requests_are_answered_in_order(wire, tls):
    wire.worker.scripts["/count"] = lambda link, request: link.send(
        answer(body=request.path.encode())) or True
    with wire.connect(WIRE, tls=tls) as connection:
        requests = [b"GET /count?%d HTTP/1.1\r\n" % i + HOST + b"\r\n" for i in range(20)]
        requests[7] = requests[7].replace(b"GET", b"POST").replace(
            b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc")
        connection.send(b"".join(requests))
        for i in range(20):
            assert connection.read_response().body == b"/count?%d" % i


# ---- what reaches the worker


def test_fields_that_reach_the_worker(wire):
    lines = [
        f"Host: {WIRE}:1234", "Connection: close, X-Hop, Host, X-Forwarded-For, Content-Length",
        "X-Hop: gone", "Keep-Alive: timeout=5", "Proxy-Connection: close", "TE: trailers",
        "Trailer: X-Late", "Upgrade: h2c", "Proxy-Authorization: Basic x",
        "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil",
        "X-Forwarded-Port: 1", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6",
        "X-Request-ID: forged", "X_Forwarded_For: 6.6.6.6", "Some_Name: gone",
        "Content_Length: 7", "Cookie: a=1", "Accept: x", "Cookie: b=2", "Via: 1.0 before",
        "Expect: 100-continue", "Content-Length: 4",
    ]
    with wire.connect(WIRE, tls=False) as connection:
        connection.send(b"POST /fields?q=%2F..%2e HTTP/1.1\r\n" + fields_of(lines) + b"\r\n")
        connection.raw.sendall(b"body")
        response = connection.read_response()
    assert response.status == 200 and response.interim == [100]
    request = wire.worker.last("/fields?q=%2F..%2e")
    assert request.line.endswith(" HTTP/1.1") and request.body == b"body"
    for gone in ("x-hop", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect",
                 "proxy-authorization", "x_forwarded_for", "some_name", "content_length",
                 "transfer-encoding"):
        assert not request.all(gone), gone
    assert request.get("host") == f"{WIRE}:1234"
    assert request.get("content-length") == "4"
    assert request.get("x-forwarded-for") == request.get("x-real-ip") == "127.0.0.1"
    assert request.get("x-forwarded-proto") == "http"
    assert request.get("x-forwarded-host") == f"{WIRE}:1234"
    assert request.get("x-forwarded-port") == str(wire.http)
    assert request.get("forwarded") == f'for=127.0.0.1;host="{WIRE}:1234";proto=http'
    assert request.get("x-request-id") not in {"forged", None}
    assert request.all("via") == ["1.0 before", "1.1 amy"]
    assert request.all("cookie") == ["a=1", "b=2"], "in their order"
    # The connection is ours, whatever the client wants of its own.
    assert (request.get("connection") or "keep-alive").lower() == "keep-alive"


def test_chunked_upload_has_a_length_and_no_trailers(wire):
    data = (b"POST /upload HTTP/1.1\r\n" + HOST + TE + b"Trailer: X-Late\r\n\r\n"
            b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Late: x\r\nContent-Length: 9\r\n\r\n")
    assert exchange(wire, data)[0].status == 200
    request = wire.worker.last("/upload")
    assert request.body == b"abcde" and request.get("content-length") == "5"
    assert not request.all("x-late") and not request.all("trailer")


def test_log_line_and_worker_know_the_request_by_one_name(wire):
    """Its id, what the client got, how long it waited for a slot and in all."""
    assert exchange(wire, b"GET /logged?a=b HTTP/1.1\r\n" + HOST + b"User-Agent: q\"x\r\n\r\n"
                    )[0].status == 200
    name = wire.worker.last("/logged?a=b").get("x-request-id")
    log = wire.sites[WIRE].logs / "access.log"
    line, = wait_for(lambda: [line for line in log.read_text().splitlines() if "/logged" in line],
                     SOON_S, "it is logged")
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:[\d:]{8} [+-]\d{4}\] "GET /logged\?a=b HTTP/1\.1" '
        r'200 5 "-" "q\\x22x" rt=\d+\.\d{3} qt=\d+\.\d{3} id=' + re.escape(name) + r" w=web/1\.0",
        line), line


def test_post_goes_to_another_worker_when_one_takes_no_connection(wire):
    """Nothing was sent yet, so the method does not matter; it comes once."""
    go = threading.Event()
    wire.worker.scripts["/hold"] = lambda link, _: go.wait(SOON_S) and (link.send(answer()) or True)
    dead = start_worker(wire, "1.1")
    wait_for(lambda: slots(wire)["total"] == 2, SOON_S, "both are known")
    dead.listener.shutdown(socket.SHUT_RDWR)  # its name stays
    dead.listener.close()
    try:
        with wire.connect(WIRE, tls=False) as holding, wire.connect(WIRE, tls=False) as posting:
            holding.request("GET", "/hold", {"Host": WIRE})
            wait_for(lambda: slots(wire)["busy"] == 1, SOON_S, "the living one is busy")
            posting.request("POST", "/elsewhere", {"Host": WIRE}, b"x")
            wait_for(lambda: slots(wire)["queued"] == 1, SOON_S, "the dead one was asked in vain")
            go.set()
            assert posting.read_response().status == 200
            assert holding.read_response().status == 200
        assert [request.body for request in wire.worker.requests
                if request.path == "/elsewhere"] == [b"x"]
        assert not dead.requests
    finally:
        (dead.directory / dead.name).unlink()


def test_tls_is_told_to_the_worker(wire):
    with wire.connect(WIRE) as connection:
        connection.send(b"GET /tls HTTP/1.0\r\n" + HOST + b"\r\n")
        assert connection.read_response().status == 200
    request = wire.worker.last("/tls")
    assert request.get("x-forwarded-proto") == "https"
    assert request.get("x-forwarded-port") == str(wire.https)
    assert request.all("via") == ["1.0 amy"]
    assert request.line.endswith(" HTTP/1.1")


def test_trusted_peers_fields_are_appended_to(new_host):
    host = new_host()
    host.write_settings(trusted=["127.0.0.0/8", "10.0.0.0/8"])
    deploy_wire(host)
    host.start_front()
    worker = start_worker(host)
    headers = {"X-Forwarded-For": "9.9.9.9, 8.8.8.8, 10.1.1.1", "X-Forwarded-Proto": "https",
               "X-Request-ID": "from-the-cdn"}
    wait_for(lambda: host.get(WIRE, "/t", headers=headers, tls=False).status == 200, SOON_S, "up")
    request = worker.last("/t")
    assert request.get("x-forwarded-for") == "9.9.9.9, 8.8.8.8, 10.1.1.1, 127.0.0.1"
    assert request.get("x-real-ip") == "8.8.8.8", "the first from the right that is not trusted"
    assert request.get("x-forwarded-proto") == "https"
    assert request.get("x-request-id") == "from-the-cdn"
    worker.stop()


# ---- answers


def test_fields_that_reach_the_client(wire):
    wire.worker.scripts["/back"] = Script(answer(
        "200 Quite So", "Connection: X-Hop, Date", "X-Hop: gone", "Keep-Alive: timeout=1",
        "Proxy-Authenticate: Basic", "Upgrade: h2c", "Trailer: X", "Date: then",
        "Set-Cookie: a=1", "Set-Cookie: b=2", "X-Accel-Buffering: no", "Server: worker"))
    response = wire.get(WIRE, "/back", tls=False)
    for gone in ("x-hop", "keep-alive", "proxy-authenticate", "upgrade", "trailer",
                 "x-accel-buffering"):
        assert not response.all(gone), gone
    assert response.all("set-cookie") == ["a=1", "b=2"]
    assert response.get("server") == "worker"
    assert response.reason == "Quite So"
    assert wire.get(WIRE, tls=False).get("date").endswith(" GMT"), "ours, where there is none"


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified",
                                    "205 Reset Content"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_body_that_must_not_be_is_not_passed_on(wire, method, status):
    """The worker sends one all the same; what follows on either connection is whole."""
    etag = 'ETag: "x"'
    wire.worker.scripts["/nobody"] = Script(
        answer(status, etag, "Cache-Control: max-age=5", "Vary: Cookie", body=b"surplus"))
    with wire.connect(WIRE, tls=False) as connection:
        for _ in range(3):
            connection.request(method, "/nobody", {"Host": WIRE})
            response = connection.read_response(method)
            assert response.status == int(status[:3]) and response.get("etag") == '"x"'
            assert not response.all("transfer-encoding")
            if status[:3] == "204":
                assert not response.all("content-length"), "RFC 9110 8.6"
            wanted = b"surplus" if (method, status[:3]) == ("GET", "200") else b""
            assert response.body == wanted
            connection.request("GET", "/", {"Host": WIRE})
            assert connection.read_response().body == b"fine\n"


def test_interim_answers_are_not_the_answer(wire):
    wire.worker.scripts["/interim"] = Script(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + answer())
    response = wire.get(WIRE, "/interim", tls=False)
    assert response.status == 200 and response.interim == [] and response.body == b"fine\n"


def test_answer_until_close_is_chunked_for_1_1_and_closed_for_1_0(wire):
    wire.worker.scripts["/close"] = Script(b"HTTP/1.0 200 OK\r\n\r\nto the end", close=True)
    with wire.connect(WIRE, tls=False) as connection:
        for _ in range(2):
            connection.request("GET", "/close", {"Host": WIRE})
            response = connection.read_response()
            assert response.get("transfer-encoding") == "chunked"
            assert response.body == b"to the end"
    old, closes = exchange(wire, b"GET /close HTTP/1.0\r\n" + HOST + b"\r\n")
    assert old.body == b"to the end" and not old.all("transfer-encoding")
    assert closes or old.all("connection") == []


def test_chunked_answer_for_1_0_has_no_chunks(wire):
    wire.worker.scripts["/chunks"] = Script(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Late: x\r\n\r\n")
    old, _ = exchange(wire, b"GET /chunks HTTP/1.0\r\n" + HOST + b"\r\n")
    assert old.body == b"abcde" and not old.all("transfer-encoding")
    new, _ = exchange(wire, b"GET /chunks HTTP/1.1\r\n" + HOST + b"\r\n")
    assert new.body == b"abcde" and not new.all("x-late")


CUT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "last-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n",
}


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", CUT)
def test_answer_that_ends_early_never_ends_well(wire, name, tls):
    wire.worker.scripts["/cut"] = Script(CUT[name], close=True)
    with wire.connect(WIRE, tls=tls) as connection:
        connection.request("GET", "/cut", {"Host": WIRE})
        with pytest.raises(Broken):
            connection.read_response()
    with wire.connect(WIRE, tls=tls) as connection:
        connection.send(b"GET /cut HTTP/1.0\r\n" + HOST + b"\r\n")
        with pytest.raises(Broken):
            # A length says so; without one nothing but the connection can.
            response = connection.read_response()
            if response.get("content-length") is None:
                raise Broken("unmarked")


BAD = {
    "length-and-chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "no-status": b"HTTP/1.1 OK\r\n\r\n",
    "status-99": b"HTTP/1.1 99 Low\r\n\r\n",
    "no-http": b"hello\r\n\r\n",
    "http-2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
    "bare-cr": b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c\r\nContent-Length: 0\r\n\r\n",
    "head-too-long": b"HTTP/1.1 200 OK\r\n" + b"A: %s\r\n" % (b"b" * 1000) * 70
                     + b"Content-Length: 0\r\n\r\n",
    "upgrade-unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nbytes",
    "nothing": b"",
    "half-a-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "interim-for-ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + answer(),
}


@pytest.mark.parametrize("name", BAD)
def test_answer_that_is_none_is_502(wire, name):
    wire.worker.scripts["/bad"] = Script(BAD[name], close=True)
    before = len([request for request in wire.worker.requests if request.path == "/bad"])
    with wire.connect(WIRE, tls=False) as connection:
        connection.request("POST", "/bad", {"Host": WIRE}, b"x")
        response = connection.read_response()
        assert response.status == 502
        assert response.get("content-type").startswith("text/html")
        assert response.get("cache-control") == "no-store"
        connection.request("GET", "/", {"Host": WIRE})
        assert connection.read_response().status == 200, "the client's connection is fine"
    after = len([request for request in wire.worker.requests if request.path == "/bad"])
    assert after == before + 1, "a POST is not sent again"


def test_long_head_within_the_limit_passes(wire):
    wire.worker.scripts["/long"] = Script(answer(
        "200 OK", *[f"A{i}: {'b' * 1000}" for i in range(40)]))
    response = wire.get(WIRE, "/long", tls=False)
    assert response.status == 200 and response.get("a39") == "b" * 1000


def test_fold_and_space_of_a_worker_are_mended(wire):
    """RFC 9112 5.1 and 5.2: a gateway may put them right, and so does this one."""
    wire.worker.scripts["/fold"] = Script(
        b"HTTP/1.1 200 OK\r\nA: b\r\n  c\r\nB : d\r\nContent-Length: 0\r\n\r\n")
    response = wire.get(WIRE, "/fold", tls=False)
    assert response.status == 200
    assert (response.get("a"), response.get("b")) == ("b c", "d")


def test_bytes_beyond_the_answer_end_the_workers_connection(wire):
    """They must never become the next client's answer."""
    poison = answer(body=b"poison")
    wire.worker.scripts["/beyond"] = Script(answer() + poison)
    for _ in range(4):
        assert wire.get(WIRE, "/beyond", tls=False).body == b"fine\n"
        assert wire.get(WIRE, tls=False).body == b"fine\n"


IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")


@pytest.mark.parametrize("method, body, asked", [
    *[(method, b"x" * (method == "PUT"), 2) for method in IDEMPOTENT],
    ("POST", b"x", 1), ("POST", b"", 1), ("PATCH", b"x", 1), ("UNHEARD-OF", b"", 1),
])
def test_kept_connection_that_died_is_asked_again_where_that_is_safe(wire, method, body, asked):
    """RFC 9112 9.3.1: what was sent and not answered is sent again, once and on
    a new connection, where the method allows it."""
    seen = die_at_first(wire, "/again")
    with wire.connect(WIRE, tls=False) as connection:
        connection.request("GET", "/", {"Host": WIRE})
        assert connection.read_response().status == 200, "its worker's connection is kept"
        connection.request(method, "/again", {"Host": WIRE}, body)
        assert connection.read_response(method).status == (200 if asked == 2 else 502)
    assert [(request.line.split(" ")[0], request.body) for request, _ in seen] == [(method, body)] * asked
    assert len({id(link) for _, link in seen}) == asked, "each on a connection of its own"


def test_new_connection_that_died_is_not_asked_again(wire):
    """It was not idle for long: the worker means it."""
    seen = die_at_first(wire, "/again")
    wire.worker.scripts["/last"] = Script(answer("200 OK", "Connection: close"), close=True)
    with wire.connect(WIRE, tls=False) as connection:
        connection.request("GET", "/last", {"Host": WIRE})
        assert connection.read_response().status == 200
        connection.request("GET", "/again", {"Host": WIRE})
        assert connection.read_response().status == 502
    assert len(seen) == 1


def test_answer_that_began_is_not_asked_for_again(wire):
    seen = die_at_first(wire, "/again", b"HTTP/1.1 2")
    with wire.connect(WIRE, tls=False) as connection:
        connection.request("GET", "/", {"Host": WIRE})
        assert connection.read_response().status == 200
        connection.request("GET", "/again", {"Host": WIRE})
        assert connection.read_response().status == 502
    assert len(seen) == 1


def die_at_first(host, path, data=b""):
    """The worker closes the connection on which `path` is asked for first, after
    `data`; from then on it answers. Returns who came: (request, link)."""
    seen = []

    def script(link, request):
        seen.append((request, link))
        link.send(data if len(seen) == 1 else answer())
        return len(seen) > 1

    host.worker.scripts[path] = script
    return seen


def test_answer_in_drips_arrives_as_it_comes(wire):
    """An answer of unknown length is passed on and not collected."""
    go = threading.Event()

    def drip(link, _request):
        link.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        assert go.wait(SOON_S)
        link.send(b"data: 2\n\n")
        return False

    wire.worker.scripts["/drip"] = drip
    for tls in (False, True):
        go.clear()
        with wire.connect(WIRE, tls=tls) as connection:
            connection.request("GET", "/drip", {"Host": WIRE})
            connection.read_some_until(b"data: 1")
            go.set()
            connection.read_some_until(b"data: 2")


# ---- our own pages


def test_timeout_is_504_and_the_slot_stays_with_the_worker(wire):
    go = threading.Event()
    wire.worker.scripts["/patient"] = lambda link, _: go.wait(SOON_S) and link.send(answer())
    response = wire.get(WIRE, "/patient", tls=False)
    assert response.status == 504 and response.get("cache-control") == "no-store"
    assert busy_slots(wire) == 1
    go.set()
    wait_for(lambda: busy_slots(wire) == 0, SOON_S, "the worker is done")


def test_own_503_fits_the_client(new_host):
    host = new_host()
    deploy_wire(host)
    host.start_front()
    asked = []
    for accept, kind in (("text/html", "text/html; charset=utf-8"),
                         ("application/json", "application/problem+json")):
        for method in ("GET", "HEAD", "POST"):
            connection = host.connect(WIRE, tls=False)
            connection.request(method, "/", {"Host": WIRE, "Accept": accept})
            asked.append((connection, method, kind))
    # All of them wait for a worker that might come.
    for connection, method, kind in asked:
        response = connection.read_response(method)
        connection.close()
        assert response.status == 503 and response.get("content-type") == kind
        assert int(response.get("retry-after")) > 0
        assert response.get("cache-control") == "no-store"
        assert bool(response.body) == (method != "HEAD")
