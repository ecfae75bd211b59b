"""Redis: GETs in a pipeline of 100, beside hiredis' own asynchronous client, both on
libevent; and how exactly a deadline is kept whatever stalls."""

import json
import os
import signal
import socket
import statistics
import subprocess
from pathlib import Path

from hosting import users
from hosting.services import Redis
from hosting.site import make_directory

VALUE = "x" * 100
SECONDS = 4
DEADLINE_MS = 500
CALLS = 10
GOAL, EXACT_MS = 0.9, 20
CLIENTS = ("amy", "hiredis")


def program():
    return os.environ["AMY_LOAD_BUILD"] + "/tests/bench/bench_redis_load"


def gets(server, client):
    """Of one round: {"gets", "cpu_s"} of the client's process."""
    done = subprocess.run(["taskset", "-c", "1", program(), client, server.socket, str(SECONDS)],
                          capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["good"], "a wrong answer"
    return told


# ---- what stalls: each gives a URL, and a command to run the program by --------

class Listener:
    """Accepts no connection, or all of them and says nothing."""

    def __init__(self, scheme, full=False):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=0 if full else 16)
        port = self.socket.getsockname()[1]
        self.url, self.before = f"{scheme}://127.0.0.1:{port}", []
        self.others = []
        for _ in range(4 if full else 0):  # until the kernel drops further SYNs
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(("127.0.0.1", port))
            self.others.append(other)

    def stop(self):
        for one in [*self.others, self.socket]:
            one.close()


class StalledName:
    """The only name server takes questions and answers none."""

    def __init__(self, directory):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        conf = Path(directory) / "resolv.conf"
        conf.write_text(f"nameserver 127.0.0.1:{self.socket.getsockname()[1]}\n")
        self.url = "redis://stalled.test"
        mount = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"'
        self.before = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", mount, str(conf)]

    def stop(self):
        self.socket.close()


class Stopped:
    """A Redis that was answering is stopped (SIGSTOP)."""

    def __init__(self, server):
        self.server, self.url, self.before = server, f"unix://{server.socket}", []

    def stop(self):
        self.server.child.send(signal.SIGCONT)


def deadlines(stalled, when_begun=lambda: None):
    """Milliseconds that each call took, less the deadline."""
    argv = [*stalled.before, program(), "deadline", stalled.url, str(DEADLINE_MS)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        late = []
        for number in range(CALLS + 1):
            client.stdin.write("\n")
            client.stdin.flush()
            code, took_ms, _ = client.stdout.readline().split(" ", 2)
            if number == 0:
                when_begun()  # the first one may load what is needed
                continue
            assert code == "-6", f"it ended with {code}"
            late.append(float(took_ms) - DEADLINE_MS)
        client.stdin.close()
    return late


def stalls(directory, server):
    yield "SYN dropped", lambda: Listener("redis", full=True), lambda: None
    yield "accepted, no answer", lambda: Listener("redis"), lambda: None
    yield "TLS stalls", lambda: Listener("rediss"), lambda: None
    yield "name resolution stalls", lambda: StalledName(directory), lambda: None
    yield "server stopped", lambda: Stopped(server), lambda: server.child.send(signal.SIGSTOP)


def run(directory, args, say):
    user = users.site_user()
    home = directory / "redis"
    make_directory(home, 0o755, user)
    server = Redis(home, user)
    rounds = []
    server.start()
    try:
        server.command("SET", "bench:key", VALUE)
        for number in range(args.rounds):
            for client in CLIENTS:
                rounds.append({"scenario": "gets", "round": number, "client": client,
                               **gets(server, client)})
                say(rounds[-1])
        for name, stalled_by, when_begun in stalls(directory, server):
            stalled = stalled_by()
            try:
                rounds.append({"scenario": name, "late_ms": deadlines(stalled, when_begun)})
            finally:
                stalled.stop()
            say(rounds[-1])
    finally:
        server.stop()
    return {"rounds": rounds, "profiles": {}}


def verdict(good):
    return "yes" if good else "**missed**"


def report(result):
    rates = {client: [one["gets"] / one["cpu_s"] for one in result["rounds"]
                      if one["scenario"] == "gets" and one["client"] == client]
             for client in CLIENTS}
    ratios = [ours / theirs for ours, theirs in zip(*rates.values())]
    yield "GET of 100 bytes over a unix socket, a hundred at a time, on libevent: answers per"
    yield "CPU-second of the client. Rounds are interleaved; the median of their ratios counts."
    yield ""
    yield "| amy/redis.h | hiredis' async client | ratio: median (min to max) | at least 0.9 |"
    yield "| ---: | ---: | --- | --- |"
    yield (f"| {statistics.median(rates['amy']):,.0f} | {statistics.median(rates['hiredis']):,.0f} | "
           f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | "
           f"{verdict(statistics.median(ratios) >= GOAL)} |")
    yield ""
    yield f"A blocking call with a deadline of {DEADLINE_MS} ms, {CALLS} times each: how late it ended."
    yield ""
    yield f"| what stalls | earliest | latest | within ± {EXACT_MS} ms |"
    yield "| --- | ---: | ---: | --- |"
    for one in result["rounds"]:
        if one["scenario"] != "gets":
            late = one["late_ms"]
            yield (f"| {one['scenario']} | {min(late):+.1f} ms | {max(late):+.1f} ms | "
                   f"{verdict(max(map(abs, late)) <= EXACT_MS)} |")
