"""amy.redis with a real server, and with peers that are none."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from amy import Code, Error
from amy.redis import Client, ErrorReply, Fate, State
from hosting.certificates import Authority
from hosting.services import free_port
from hosting.wait import wait_for
from memory import expect_flat

SOON_S = 60
PASSWORD = "s3cr3t"


class Server:
    """With a password, on a unix socket and by TLS."""

    def __init__(self, directory):
        self.directory = directory
        self.socket = directory / "r.sock"
        self.tls_port = free_port()
        authority = Authority(directory)
        authority.issue(directory / "tls", ["localhost"])
        self.ca = str(authority.certificate)
        self.process = None

    def start(self):
        tls = self.directory / "tls"
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--requirepass", PASSWORD,
             "--tls-port", str(self.tls_port), "--tls-cert-file", tls / "fullchain.pem",
             "--tls-key-file", tls / "privkey.pem", "--tls-auth-clients", "no",
             "--bind", "127.0.0.1", "--dir", self.directory], stdout=subprocess.DEVNULL)
        wait_for(self.answers, SOON_S, "Redis answers")

    def answers(self):
        with Client(self.url) as client:
            try:
                return client.run("PING") == "PONG"
            except Error:
                return False

    def stop(self):
        self.process.kill()
        self.process.wait()

    @property
    def url(self):
        return f"unix://:{PASSWORD}@{self.socket}?db=3"

    @property
    def tls_url(self):
        return f"rediss://:{PASSWORD}@localhost:{self.tls_port}/3"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("redis"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(server):
    with Client(server.url, timeout_s=SOON_S) as one:
        one.run("FLUSHDB")
        yield one


def refusal(call, *arguments, **options):
    with pytest.raises(Error) as caught:
        call(*arguments, **options)
    return caught.value


# ---- words and replies


def test_each_type_of_reply(client):
    assert client.run("SET", "key", "välue") == "OK"
    assert client.run("GET", "key") == "välue".encode()
    assert client.run("GET", "none") is None
    assert client.run("INCRBY", "n", -(2**63)) == -(2**63)
    assert client.run("RPUSH", b"l\0", b"\xff\r\n", 1.5, 7) == 3
    assert client.run("LRANGE", b"l\0", 0, -1) == [b"\xff\r\n", b"1.5", b"7"]
    assert client.run("EVAL", "return {1, {2, {'x', false}}}", 0) == [1, [2, [b"x", None]]]
    assert client.run("SET", "empty", "") == "OK" and client.run("GET", "empty") == b""


def test_a_megabyte_goes_and_comes(client):
    data = os.urandom(1 << 20)
    client.run("SET", "big", data)
    assert client.run("GET", "big") == data


@pytest.mark.parametrize("words", [(), ("GET", None), ("GET", True), ("GET", ["x"]), (object(),)])
def test_what_is_no_command(client, words):
    with pytest.raises((TypeError, Error)):
        client.run(*words)
    assert client.run("PING") == "PONG"


def test_a_surrogate_is_no_text(client):
    with pytest.raises(UnicodeEncodeError):
        client.run("SET", "x", "\ud800")


@pytest.mark.parametrize("words", [
    ("NOSUCH", "x" + "ü" * 120), (b"NO\xff", "x"),
    ("EVAL", "return redis.error_reply('ERR '..string.char(255))", 0)])
def test_an_error_that_is_not_whole_utf8(client, words):
    """The server's bytes, cut where the library's 223 bytes end."""
    error = refusal(client.run, *words)
    assert error.code is Code.EINVAL and error.fate is Fate.ANSWERED and "\ufffd" in error.message


def test_errors_by_what_can_be_done(client):
    client.run("SET", "text", "x")
    error = refusal(client.run, "LPUSH", "text", 1)
    assert error.code is Code.EINVAL and "WRONGTYPE" in error.message
    assert error.fate is Fate.ANSWERED
    assert refusal(client.run, "EVALSHA", "0" * 40, 0).code is Code.ENOTFOUND
    for words in (("SELECT", 1), ("MULTI",), ("SUBSCRIBE", "x"), ("AUTH", "x")):
        error = refusal(client.run, *words)
        assert error.code is Code.EINVAL and error.fate is Fate.NOT_RUN


def test_a_pipeline_goes_on_after_an_error(client):
    client.run("SET", "text", "x")
    replies = client.pipeline([("INCR", "n"), ("LPUSH", "text", 1), ["GET", "text"]])
    assert replies[0] == 1 and replies[2] == b"x"
    assert isinstance(replies[1], ErrorReply) and replies[1].kind == "WRONGTYPE"
    assert client.pipeline((("INCR", "n") for _ in range(1000)))[-1] == 1001


def test_an_atomic_pipeline(client):
    assert client.pipeline([("INCR", "n"), ("INCR", "n")], atomic=True) == [1, 2]
    error = refusal(client.pipeline, [("INCR", "n"), ("NOSUCHCOMMAND",)], atomic=True)
    assert "NOSUCHCOMMAND" in error.message and client.run("GET", "n") == b"2"


@pytest.mark.parametrize("commands", [[], [()], [("MULTI",)], [("SET", "x", "y" * 100)]])
def test_pipelines_that_are_none(client, commands):
    assert refusal(client.pipeline, commands, bytes_max=50).code in (Code.EINVAL, Code.ELIMIT)


@pytest.mark.parametrize("command", ["PING", b"PING", 7, None])
def test_a_text_is_no_command(client, command):
    """It is a sequence of its characters, which nobody means."""
    with pytest.raises(TypeError):
        client.pipeline([command])


def test_a_pipeline_whose_source_raises(client):
    def commands():
        yield ("SET", "x", 1)
        raise LookupError
    with pytest.raises(LookupError):
        client.pipeline(commands())
    assert client.run("EXISTS", "x") == 0


# ---- connections


def test_tls_is_verified(server):
    with Client(server.tls_url, ca_file=server.ca, timeout_s=SOON_S) as client:
        assert client.run("PING") == "PONG"
    with Client(server.tls_url, timeout_s=SOON_S) as client:
        error = refusal(client.run, "PING")
    assert error.code in (Code.ECONN, Code.EAUTH) and error.fate is Fate.NOT_RUN
    with Client(server.tls_url, ca_file=server.ca, server_name="other.org", timeout_s=SOON_S) as client:
        assert refusal(client.run, "PING").fate is Fate.NOT_RUN


@pytest.mark.parametrize("order", [("psycopg", "amy.redis", "ssl"), ("ssl", "amy.redis", "psycopg"),
                                   ("amy.redis", "psycopg", "ssl")])
def test_beside_other_openssls_in_one_process(server, order):
    """psycopg's wheel brings its own; each does a handshake of its own."""
    script = f"""
import socket
for name in {order!r}:
    __import__(name)
import amy.redis, psycopg, ssl

def by_amy():
    with amy.redis.Client({server.tls_url!r}, ca_file={server.ca!r}) as client:
        print(client.run("PING"))

def by_ssl():
    context = ssl.create_default_context(cafile={server.ca!r})
    with socket.create_connection(("127.0.0.1", {server.tls_port})) as raw:
        print(context.wrap_socket(raw, server_hostname="localhost").version())

def by_psycopg():
    try:
        psycopg.connect("host=127.0.0.1 port={server.tls_port} sslmode=require sslnegotiation=direct")
    except psycopg.OperationalError as error:
        print("ALPN" in str(error), psycopg.pq.__impl__)

for _ in range(3):
    by_amy(), by_ssl(), by_psycopg()
print(len({{line.split()[-1] for line in open("/proc/self/maps") if "libssl" in line}}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False,
                          timeout=SOON_S)
    assert done.stdout.splitlines() == ["PONG", "TLSv1.3", "True binary"] * 3 + ["2"], done.stdout + done.stderr


def test_a_wrong_password_is_told_and_not_shown(server):
    with Client(f"unix://:wr0ng@{server.socket}", timeout_s=SOON_S) as client:
        error = refusal(client.run, "PING")
    assert error.code is Code.EAUTH and "wr0ng" not in str(error)
    assert PASSWORD not in str(refusal(Client, f"redis://:{PASSWORD}@host:port/0"))


def test_a_server_that_hangs(server, client):
    client.run("PING")
    server.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        error = refusal(client.run, "INCR", "n", timeout_s=0.2)
        assert 0.2 <= time.monotonic() - began < 10
        assert error.code is Code.ETIMEOUT and error.fate is Fate.UNKNOWN
    finally:
        server.process.send_signal(signal.SIGCONT)
    wait_for(lambda: ping(client), SOON_S, "it is well again")
    assert client.view().connections >= 2


def ping(client):
    try:
        return client.run("PING") == "PONG"
    except Error:
        return False


def test_a_server_that_is_gone_costs_nothing(tmp_path):
    with Client(f"unix://{tmp_path}/none.sock", timeout_s=SOON_S) as client:
        error = refusal(client.run, "PING")
        assert error.code is Code.ECONN and error.fate is Fate.NOT_RUN
        view = client.view()
        assert view.state is State.BROKEN and view.failures >= 3 and "none.sock" in view.problem
        # Longer and longer apart: on a busy machine the first time may be over already.
        wait_for(lambda: "next attempt in" in refusal(client.run, "PING").message, SOON_S, "it is not even tried")


def test_a_peer_that_makes_no_sense(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "r.sock"))
        listener.listen()

        def serve():
            with contextlib.suppress(OSError):  # until the listener is shut
                while True:
                    with listener.accept()[0] as connection:
                        connection.recv(1000)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        peer = threading.Thread(target=serve)
        peer.start()
        with Client(f"unix://{tmp_path}/r.sock", timeout_s=SOON_S) as client:
            error = refusal(client.run, "PING")
        listener.shutdown(socket.SHUT_RDWR)
        peer.join(SOON_S)
    assert error.code is Code.EPROTO and error.fate is Fate.NOT_RUN


@pytest.mark.parametrize("options", [
    {"timeout_s": 0}, {"timeout_s": -1}, {"connect_timeout_s": float("nan")}, {"timeout_s": 1e12},
    {"reply_bytes_max": -1}])
def test_numbers_that_do_not_fit(options):
    assert refusal(Client, "redis://localhost", **options).code is Code.EINVAL


@pytest.mark.parametrize("url", ["", "http://x", "redis://h/x", "unix://", "redis://h\n"])
def test_urls_that_are_none(url):
    assert refusal(Client, url).code is Code.EINVAL


# ---- threads, forks, memory


def test_another_thread_is_refused_and_python_goes_on(server, client):
    results = []
    waiting = threading.Thread(
        target=lambda: results.append(client.run("BLPOP", "queue", 20, timeout_s=SOON_S)))
    waiting.start()
    refused = None
    while refused is None and waiting.is_alive():  # until the thread is inside
        try:
            client.view()
        except Error as error:
            refused = error
    assert refused is not None and refused.code is Code.EBUSY
    assert refusal(client.free).code is Code.EBUSY
    with Client(server.url, timeout_s=SOON_S) as other:
        other.run("RPUSH", "queue", "x")
    waiting.join(SOON_S)
    assert results == [[b"queue", b"x"]]


def test_a_child_makes_its_own(server):
    script = f"""
import os
from amy import Code, Error
from amy.redis import Client
client = Client({server.url!r}, timeout_s=60)
client.run("PING")
child = os.fork()
if child == 0:
    try:
        client.run("PING")
    except Error as error:
        code = 0 if error.code is Code.ESTATE else 2
    del client
    os._exit(code if Client({server.url!r}, timeout_s=60).run("PING") == "PONG" else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), client.run("PING"), client.view().connections)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False,
                          timeout=SOON_S)
    assert done.stdout == "0 PONG 1\n", done.stdout + done.stderr


def test_after_it_was_freed(server):
    client = Client(server.url)
    client.free()
    client.free()
    for call in (lambda: client.run("PING"), client.view, lambda: client.pipeline([("PING",)])):
        assert refusal(call).code is Code.ESTATE


def test_nothing_is_kept(server, client):
    client.run("SET", "text", "x" * 1000)

    def work():
        client.pipeline([["GET", "text"], ["LPUSH", "text", 1], ["PING"], ["INCR", 7.5]])
        with pytest.raises(Error):
            client.run("LPUSH", "text", 1)
        with pytest.raises(TypeError):
            client.run("GET", "x", None)
        with pytest.raises(TypeError):
            client.pipeline([("GET", "x"), 7])
    expect_flat(work, 10_000)


def test_nothing_is_kept_of_clients(server):
    def work():
        one = Client(server.url, timeout_s=SOON_S)
        one.run("PING")
    expect_flat(work, 500)
