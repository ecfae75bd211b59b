"""The harness itself: a loss that it would not see is a promise nobody checks."""

import socket
import threading
import time
from types import SimpleNamespace

import pytest
from hosting.load import PlainLoad, fnv1a
from hosting.rawhttp import Broken, Connection
from hosting.release import Releases
from hosting.wait import Late, wait_for

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
OTHER = GOOD.replace(b"hello", b"jello")
WHOLE = {GOOD, CHUNKED, OTHER}


class Server:
    """Answers each request by the next of `answers`, the last one for ever, and
    closes the connection behind one that is not whole."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.given = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw):
        with raw:
            while raw.recv(65536):
                with self.lock:
                    answer = self.answers[min(self.given, len(self.answers) - 1)]
                    self.given += 1
                raw.sendall(answer)
                if answer not in WHOLE:
                    return

    def close(self):
        # A thread that waits in accept() keeps the listener open without this.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def serve():
    servers = []

    def start(*answers):
        servers.append(Server(answers))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def load(server, connections=1):
    host = SimpleNamespace(http=server.port)
    running = PlainLoad(host, "test", ["/"], connections)
    wait_for(lambda: server.given > 50, 30, "requests arrive")
    return running.stop()


@pytest.mark.parametrize("answer, kind", [
    (b"", "closed"), (GOOD[:-1], "torn"), (GOOD[:20], "torn"), (CHUNKED[:-5], "torn"),
    (b"SMTP\r\n\r\n", "bad"),
])
def test_load_counts_what_is_lost(serve, answer, kind):
    report = load(serve(GOOD, CHUNKED, answer, GOOD))
    assert dict(report.failed) == {kind: 1}
    assert report.answered == report.sent - 1
    assert report.by_status == {200: report.answered}


def test_load_tells_bodies_apart(serve):
    report = load(serve(GOOD, CHUNKED, OTHER, GOOD))
    assert report.bodies[(200, fnv1a(b"hello"))] >= 50
    assert report.bodies[(200, fnv1a(b"jello"))] == 1
    assert report.sent == report.answered and report.lost == 0


def test_open_load_times_requests_from_when_they_were_due(serve):
    """A server that answers nothing at first: requests come all the same, and
    their time counts although some had no connection to wait on."""
    server = serve(GOOD)
    with server.lock:
        running = PlainLoad(SimpleNamespace(http=server.port), "test", ["9*/a", "1*/b"],
                            connections=4, rate=200)
        began = time.monotonic()
        wait_for(lambda: time.monotonic() > began + 0.5, 30, "half a second is over")
    wait_for(lambda: server.given > 200, 30, "all are answered")
    report = running.stop()
    assert report.lost == 0 and report.answered == report.sent
    assert report.late > 50, "most came while four waited"
    assert 5 * report.paths["/b"]["answered"] < report.paths["/a"]["answered"]
    assert report.paths["/a"]["max_us"] > 300_000
    assert report.paths["/a"]["p50_us"] <= report.paths["/a"]["p99_us"]


def ask(server, method="GET"):
    with Connection(socket.create_connection(("127.0.0.1", server.port))) as connection:
        connection.request(method, "/", {"Host": "test"})
        return connection.read_response(method)


def test_client_reads_whole_answers(serve):
    assert ask(serve(GOOD)).body == ask(serve(CHUNKED)).body == b"hello"
    interim = ask(serve(b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD))
    assert interim.interim == [100] and interim.body == b"hello"


@pytest.mark.parametrize("answer, kind", [
    (b"", "closed"), (GOOD[:-1], "short"), (CHUNKED[:-1], "short"),
    (b"HTTP/1.1 20 OK\r\n\r\n", "malformed"),
    (b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n", "malformed"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "malformed"),
])
def test_client_refuses_half_answers(serve, answer, kind):
    with pytest.raises(Broken) as refused:
        ask(serve(answer))
    assert refused.value.kind == kind


def test_waiting_fails_at_the_deadline_and_says_for_what():
    with pytest.raises(Late, match="the moon"):
        wait_for(lambda: False, 0.1, "the moon")


def test_deployment_begins_with_one_release(tmp_path):
    site = SimpleNamespace(directory=tmp_path, repo=tmp_path / "repo")
    releases = Releases(site).begin()
    assert releases.deploy() == 2 and releases.deploy() == 3
    assert site.repo.resolve() == releases.path(3) and releases.current == 3
    releases.begin()
    assert [path.name for path in releases.directory.iterdir()] == ["1"]
    assert site.repo.resolve() == releases.path(1)
