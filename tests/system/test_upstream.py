"""Servers that amy-workers does not run: `upstream:` of a route. Least
outstanding over all processes, equal ones in turn; one that refuses is passed
over, all that do are waited for.
"""

import os
import re
import socket
import struct
import threading
import time

import pytest
import websocket
from hosting import users, walk
from hosting.host import free_port
from hosting.wait import wait_for
from scripted import SOON_S, Script, Worker, answer

UP = "up.localhost"
YAML = """\
site: {domain}
user: {user}
http: serve
limits: {limits}
routes:
  - {{path: /, upstream: [{servers}], slots: {slots}}}
  - {{path: /ws/, upstream: [{servers}], slots: {slots}, tunnel_idle: 30s}}
"""


class Server(Worker):
    """One that listens where it is told, and nobody looks after."""

    def __init__(self, address):
        super().__init__(directory=None, name=address)

    def start(self):
        if self.name.startswith("unix:"):
            self.listener = socket.socket(socket.AF_UNIX)
            path = self.name[5:]
            if os.path.exists(path):
                os.unlink(path)
            self.listener.bind(path)
            if users.is_root():
                os.chown(path, users.front_user().uid, -1)
            os.chmod(path, 0o600)
        else:
            host, _, port = self.name.rpartition(":")
            family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
            self.listener = socket.socket(family)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((host.strip("[]"), int(port)))
        self.listener.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in self.links:
            try:
                link.raw.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Hole:
    """Neither takes a connection nor refuses one: its backlog is full, and what
    asks for more is dropped, as by a firewall."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.name = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.waiting = [socket.socket() for _ in range(4)]
        for one in self.waiting:
            one.setblocking(False)
            one.connect_ex(self.listener.getsockname())

    def close(self):
        for one in (*self.waiting, self.listener):
            one.close()


@pytest.fixture
def hole():
    made = Hole()
    yield made
    made.close()


def write_yaml(host, addresses, slots=1000, limits="{}"):
    host.sites[UP].write_yaml(YAML.format(
        domain=UP, user=host.user.name, slots=slots, limits=limits,
        servers=", ".join(f'"{address}"' for address in addresses)))


@pytest.fixture
def upstream(new_host):
    """A function that makes a host before servers of these kinds."""
    servers = []

    def new(*kinds, processes=1, started=None, **yaml):
        host = new_host(processes=processes)
        host.site(UP)
        named = {"tcp": lambda: f"127.0.0.1:{free_port()}", "six": lambda: f"[::1]:{free_port()}",
                 "unix": lambda: f"unix:{host.root}/{len(servers)}.sock"}
        for kind in kinds:
            servers.append(Server(named[kind]()))
        for server in servers[:started]:
            server.start()
        write_yaml(host, [server.name for server in servers], **yaml)
        host.start_front()
        host.servers = list(servers)
        return host

    yield new
    for server in servers:
        try:
            server.stop()
        except (AttributeError, OSError):
            pass


def get(host, path="/", method="GET", body=b""):
    return host.get(UP, path, method=method, body=body, tls=False)


def part(host):
    return walk.site_parts(host.status(), UP)["slots"]["/"]


class Held:
    """A script that answers when it is let go."""

    def __init__(self):
        self.let_go = threading.Event()

    def __call__(self, link, _request):
        self.let_go.wait(SOON_S)
        link.send(answer())
        return True


def test_equal_servers_of_every_family_take_turns(upstream):
    host = upstream("tcp", "six", "unix")
    with host.connect(UP, tls=False) as connection:
        for i in range(9):
            connection.request("POST" if i % 2 else "GET", f"/{i}", {"Host": UP}, b"x" * (i % 2))
            assert connection.read_response().status == 200
    assert [len(server.requests) for server in host.servers] == [3, 3, 3]
    assert [len(server.links) for server in host.servers] == [1, 1, 1], "connections are kept"


def test_access_log_and_status_name_them(upstream):
    host = upstream("tcp", "unix")
    for _ in range(4):
        assert get(host, "/who").status == 200
    log = host.sites[UP].logs / "access.log"
    lines = wait_for(lambda: (found := log.read_text().splitlines()) and len(found) == 4 and found,
                     SOON_S, "four lines")
    for server in host.servers:
        assert sum(server.name[-30:] in line for line in lines) == 2, lines
    assert part(host)["servers"] == [
        {"address": server.name, "total": 1000, "busy": 0, "refused": 0} for server in host.servers]
    shown = host.amyctl("status").stdout
    assert all(server.name in shown for server in host.servers)


def test_fewest_outstanding_over_all_processes(upstream):
    host = upstream("tcp", "unix", processes=2)
    held = Held()
    for server in host.servers:
        server.scripts["/hold"] = held
    asked = []
    for n in range(1, 9):
        connection = host.connect(UP, tls=False)
        connection.request("GET", "/hold", {"Host": UP})
        asked.append(connection)
        wait_for(lambda: sum(len(s.requests) for s in host.servers) == n, SOON_S, "it is asked")
        counts = [len(server.requests) for server in host.servers]
        assert max(counts) - min(counts) <= 1, counts
    wait_for(lambda: [s["busy"] for s in part(host)["servers"]] == [4, 4], SOON_S, "status counts")
    held.let_go.set()
    for connection in asked:
        assert connection.read_response().status == 200
        connection.close()


def test_busy_server_gets_less(upstream):
    host = upstream("tcp", "tcp")
    held = Held()
    for server in host.servers:
        server.scripts["/hold"] = held
    with host.connect(UP, tls=False) as connection:
        connection.request("GET", "/hold", {"Host": UP})
        wait_for(lambda: any(server.requests for server in host.servers), SOON_S, "one has it")
        busy, idle = sorted(host.servers, key=lambda server: -len(server.requests))
        for _ in range(10):
            assert get(host, "/quick").status == 200
        assert (len(busy.requests), len(idle.requests)) == (1, 10)
        held.let_go.set()
        assert connection.read_response().status == 200


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_refusing_server_costs_no_request(upstream, kind):
    host = upstream(kind, "tcp")
    gone, there = host.servers
    for _ in range(2):
        assert get(host).status == 200
    gone.stop()
    for i in range(20):
        assert get(host, f"/{i}", method="POST", body=b"any method").status == 200
    assert len([r for r in there.requests if r.line.startswith("POST")]) == 20
    refused = {server["address"]: server["refused"] for server in part(host)["servers"]}
    assert refused[gone.name] > 0 and refused[there.name] == 0
    assert "refused" in host.amyctl("status").stdout
    back = Server(gone.name).start()
    try:
        wait_for(lambda: get(host).status == 200 and back.requests, SOON_S, "it is asked again")
        wait_for(lambda: all(s["refused"] == 0 for s in part(host)["servers"]), SOON_S, "forgiven")
    finally:
        back.stop()


def test_all_down_are_waited_for(upstream):
    host = upstream("tcp", "unix", started=0)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(get(host)))
    asking.start()
    wait_for(lambda: part(host)["queued"] == 1, SOON_S, "it waits")
    assert not answers
    host.servers[1].start()
    asking.join(SOON_S)
    assert answers and answers[0].status == 200


def test_all_down_for_long_is_503_with_the_sites_page(upstream):
    host = upstream("tcp", "unix", started=0)
    (host.sites[UP].directory / "down.html").write_text("<p>our own page</p>")
    host.amyctl("reload", check=False)
    response = get(host)
    assert response.status == 503 and response.get("retry-after")
    assert "our own page" in response.text


def test_slots_are_a_limit_and_more_wait_in_our_queue(upstream):
    host = upstream("tcp", slots=1, limits="{queue: 1, queue_time: 20s}")
    server = host.servers[0]
    held = Held()
    server.scripts["/hold"] = held
    first, second = host.connect(UP, tls=False), host.connect(UP, tls=False)
    with first, second:
        first.request("GET", "/hold", {"Host": UP})
        wait_for(lambda: server.requests, SOON_S, "it is asked")
        second.request("GET", "/second", {"Host": UP})
        wait_for(lambda: part(host)["queued"] == 1, SOON_S, "the second waits")
        assert get(host, "/third").status == 503
        assert len(server.requests) == 1
        held.let_go.set()
        assert first.read_response().status == 200
        assert second.read_response().status == 200


def test_reload_takes_and_drops_servers(upstream):
    host = upstream("tcp", "tcp", processes=2)
    old, stays = host.servers
    held = Held()
    old.scripts["/hold"] = stays.scripts["/hold"] = held
    with host.connect(UP, tls=False) as connection:
        connection.request("GET", "/hold", {"Host": UP})
        wait_for(lambda: old.requests or stays.requests, SOON_S, "one is asked")
        holder = old if old.requests else stays
        other = stays if holder is old else old
        new = Server(f"127.0.0.1:{free_port()}").start()
        try:
            write_yaml(host, [other.name, new.name])
            host.amyctl("reload", check=False)
            wait_for(lambda: [s["address"] for s in part(host)["servers"]] == [other.name, new.name],
                     SOON_S, "the list is read")
            before = len(holder.requests)
            for _ in range(8):
                assert get(host).status == 200
            assert len(holder.requests) == before and new.requests
            held.let_go.set()
            assert connection.read_response().status == 200, "what was under way ends"
        finally:
            new.stop()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_websocket_to_a_foreign_server(upstream, kind):
    host = upstream(kind)

    def script(link, _request):
        link.send(websocket.AGREED)
        while link.more():
            link.send(link.received)
            link.received = b""
        return False

    host.servers[0].scripts["/ws/echo"] = script
    with host.connect(UP, tls=False) as near:
        near.send(websocket.ask(UP, "/ws/echo"))
        assert near.read_response().status == 101
        for word in (b"one", b"two" * 100000):
            near.send(word)
            heard = b""
            while len(heard) < len(word):
                heard += near.raw.recv(65536)
            assert heard == word
        wait_for(lambda: part(host)["tunnels"] == 1, SOON_S, "counted")
    wait_for(lambda: part(host)["tunnels"] == 0 and part(host)["busy"] == 0, SOON_S, "and out")


@pytest.mark.root
def test_socket_that_amy_may_not_open_is_passed_over(upstream):
    host = upstream("unix", "tcp")
    os.chown(host.servers[0].name[5:], 0, 0)
    for _ in range(6):
        assert get(host).status == 200
    assert not host.servers[0].requests and len(host.servers[1].requests) == 6


def test_broken_answers_are_502_and_nobody_is_avoided(upstream):
    host = upstream("tcp")
    host.servers[0].scripts["/bad"] = Script(b"what?\r\n\r\n", close=True)
    assert get(host, "/bad").status == 502
    assert get(host).status == 200
    assert part(host)["servers"][0]["refused"] == 0


# A connection to a server that drops what asks for one is given up after 3 s.


def server(host, name):
    return next(one for one in part(host)["servers"] if one["address"] == name)


def wait_until_busy(host, name):
    wait_for(lambda: server(host, name)["busy"] == 1, SOON_S, f"{name} is asked")


def test_who_meets_a_black_hole_is_answered_elsewhere_and_others_at_once(upstream, hole):
    host = upstream("tcp")
    there = host.servers[0]
    write_yaml(host, [hole.name, there.name])
    host.amyctl("reload", check=False)
    assert get(host, "/first").status == 200, "it was the other's turn"
    answers = []
    began = time.monotonic()
    unlucky = threading.Thread(target=lambda: answers.append(get(host, "/pay", "POST", b"1")))
    unlucky.start()
    wait_until_busy(host, hole.name)
    for i in range(10):
        assert get(host, f"/{i}").status == 200
    assert not answers, "they had no reason to wait for it"
    unlucky.join(SOON_S)
    took = time.monotonic() - began
    assert [answer.status for answer in answers] == [200]
    # Of 3 s; neither the route's patience of 60 s nor the kernel's of minutes.
    assert took < 30, took
    assert [request.path for request in there.requests].count("/pay") == 1
    assert server(host, hole.name)["refused"] > 0


def test_busy_server_is_preferred_to_one_that_refused(upstream, hole):
    """It has more to do than the black hole, which is tried with one request."""
    host = upstream("tcp")
    there = host.servers[0]
    held = there.scripts["/hold"] = Held()
    write_yaml(host, [hole.name, there.name])
    host.amyctl("reload", check=False)
    assert [get(host).status for _ in range(2)] == [200, 200]
    assert server(host, hole.name)["refused"] > 0
    asking = []

    def ask(path):
        asking.append(threading.Thread(target=get, args=(host, path)))
        asking[-1].start()

    def count(path):
        return [request.path for request in there.requests].count(path)

    for _ in range(3):
        ask("/hold")
    wait_for(lambda: count("/hold") == 3, SOON_S, "it is busy")

    def hole_has_one():
        ask("/try")
        wait_for(lambda: count("/try") == len(asking) - 3 or server(host, hole.name)["busy"],
                 SOON_S, "it is with one of them")
        return server(host, hole.name)["busy"]

    wait_for(hole_has_one, SOON_S, "its time is over, and it is tried")
    before = count("/try")
    for i in range(5):
        assert get(host, f"/{i}").status == 200
    assert count("/try") == before, "they did not wait for what the black hole has"
    held.let_go.set()
    for thread in asking:
        thread.join(SOON_S)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_request_whose_client_left_while_it_connects_is_never_sent(upstream, hole, reset):
    host = upstream("tcp", started=0)
    write_yaml(host, [hole.name])
    host.amyctl("reload", check=False)
    client = host.connect(UP, tls=False)
    client.request("POST", "/pay", {"Host": UP}, b"1")
    wait_until_busy(host, hole.name)
    if reset:
        client.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    log = host.sites[UP].logs / "access.log"
    wait_for(lambda: re.search(r'"POST /pay HTTP/1.1" 499 ', log.read_text()), SOON_S, "it is over")
    assert part(host)["queued"] == 0 and part(host)["busy"] == 0
    hole.close()
    back = Server(hole.name).start()
    try:
        assert get(host, "/next").status == 200
        assert [request.path for request in back.requests] == ["/next"]
    finally:
        back.stop()
