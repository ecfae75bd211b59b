"""Requests per CPU-second of a front before an application that costs nothing.

Every server has one serving process on CPU 0, the load (wrk) and the application
(bench_backend) are on CPU 1. The CPU-seconds are those of all processes of a
server, since that figure survives a shared machine and the plain rate does not.
"""

import os
import re
import shutil
import socket
import statistics
import subprocess

from hosting.load import load_program
from hosting.process import Child
from hosting.wait import wait_for
from machine import cpu_seconds, memory_kib, profile
from servers import DOMAIN, ON_CPU_1, SOON_S, Amy, Haproxy, Nginx

# name, text, TLS, connections, gate closed
SCENARIOS = [
    ("proxy-64", "proxy of 1 KiB, 64 connections", False, 64, False),
    ("proxy-512", "proxy of 1 KiB, 512 connections", False, 512, False),
    ("tls-64", "the same over TLS 1.3, 64 connections", True, 64, False),
    ("tls-512", "the same over TLS 1.3, 512 connections", True, 512, False),
    ("gate-64", "the 503 page, 64 connections", False, 64, True),
]
NAMES = ("nginx", "haproxy", "amy-front")


def status_of(port):
    with socket.create_connection(("127.0.0.1", port), 2) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
        return int(raw.makefile("rb").readline().split()[1])


def wrk(server, tls, connections, seconds):
    port, scheme = (server.https, "https") if tls else (server.http, "http")
    return [*ON_CPU_1, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H",
            f"Host: {DOMAIN}", f"{scheme}://127.0.0.1:{port}/"]


def measure(server, tls, connections, seconds):
    """One round: requests answered, those not as expected, CPU used."""
    before = cpu_seconds(server.pids())
    out = subprocess.run(wrk(server, tls, connections, seconds), capture_output=True, text=True,
                         check=True).stdout
    used = cpu_seconds(server.pids()) - before
    requests = int(re.search(r"(\d+) requests in", out)[1])
    odd = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    broken = re.search(r"Socket errors: (.*)", out)
    return {"server": server.name, "requests": requests, "cpu_s": round(used, 2),
            "per_cpu_s": round(requests / used) if used else 0,
            "non_2xx": int(odd[1]) if odd else 0, "errors": broken[1] if broken else ""}


def close_gate(site, servers, closed):
    names = [site.maintenance_off, site.maintenance_on]
    here, there = names if closed else reversed(names)
    if here.exists():
        here.rename(there)
    want = 503 if closed else 200
    wait_for(lambda: all(status_of(server.http) == want for server in servers), SOON_S,
             f"all answer {want}")


def lay_out(directory):
    """The three servers before one application; the peers use amy's certificate."""
    amy = Amy(directory / "amy")
    live = amy.host.certificates / DOMAIN
    for name, source in (("cert.pem", "fullchain.pem"), ("key.pem", "privkey.pem")):
        shutil.copy(live / source, directory / name)
    (directory / "both.pem").write_bytes((live / "fullchain.pem").read_bytes()
                                         + (live / "privkey.pem").read_bytes())
    socket_path = directory / "app.sock"
    page = amy.site.maintenance_on
    return amy, [Nginx(directory, SOCKET=socket_path, PAGE=page, PAGEDIR=page.parent),
                 Haproxy(directory, SOCKET=socket_path), amy]


def start_backend(directory, amy):
    """Published as a worker is: under its name in the pool's directory."""
    program = load_program().parent / "bench/bench_backend"
    socket_path = directory / "app.sock"
    backend = Child("bench_backend", [*ON_CPU_1, program, socket_path], directory / "backend.log")
    wait_for(socket_path.exists, SOON_S, "the application's socket")
    socket_path.chmod(0o666)
    pool = amy.host.run / DOMAIN / "web"
    wait_for(pool.is_dir, SOON_S, "the pool's directory")
    os.link(socket_path, pool / "1.0")
    return backend


def run(directory, args, say):
    amy, servers = lay_out(directory)
    running = []
    try:
        running.append(amy.start())
        running.append(start_backend(directory, amy))
        running += [server.start() for server in servers if server is not amy]
        rounds = []
        for scenario in SCENARIOS:
            rounds += run_scenario(scenario, amy.site, servers, args, say)
        close_gate(amy.site, servers[::2], False)
        return {"rounds": rounds, "profiles": profile_missed(rounds, amy, args),
                "peak_kib": {server.name: memory_kib(server.pids()) for server in servers}}
    finally:
        for server in reversed(running):
            server.stop()


def run_scenario(scenario, site, servers, args, say):
    """HAProxy reads its page when it starts and has no test of a file: no gate."""
    name, _, tls, connections, closed = scenario
    servers = [server for server in servers if not closed or server.name != "haproxy"]
    close_gate(site, servers, closed)
    rounds = []
    for n in range(args.rounds):
        turn = n % len(servers)
        for server in servers[turn:] + servers[:turn]:
            rounds.append({"scenario": name, "round": n,
                           **measure(server, tls, connections, args.seconds)})
            say(rounds[-1])
    return rounds


def by_server(rounds, name):
    mine = [r for r in rounds if r["scenario"] == name]
    return {server: [r["per_cpu_s"] for r in mine if r["server"] == server] for server in NAMES}


def ratios(rounds, name, peer):
    figures = by_server(rounds, name)
    return sorted(a / b for a, b in zip(figures["amy-front"], figures[peer]) if b)


def median_or_nothing(numbers):
    """0 where a machine was too busy to get one answer in a round."""
    return statistics.median(numbers) if numbers else 0


def profile_missed(rounds, amy, args):
    """Where amy-front's time goes in what it lost."""
    found = {}
    for name, text, tls, connections, closed in SCENARIOS:
        if closed or median_or_nothing(ratios(rounds, name, "nginx")) >= 1:
            continue
        with subprocess.Popen(wrk(amy, tls, connections, 5), stdout=subprocess.DEVNULL):
            found[text] = profile(amy.pids())
    return found


def report(result):
    rounds = result["rounds"]
    yield from __doc__.strip().splitlines()[2:]
    yield "Rounds are interleaved; a ratio is taken round by round, and the median is what counts."
    yield "Access logs are on in all: HAProxy's costs a write for each request, the others' do not."
    yield "A round over TLS includes its handshakes, which are OpenSSL's and cost all the same: the"
    yield "shorter a round, or the busier the machine, the more a row of 512 connections is about them."
    yield ""
    yield ("| scenario | nginx | HAProxy | amy-front | to nginx: median (min to max) | to HAProxy "
           "| at least level with nginx |")
    yield "| --- | ---: | ---: | ---: | --- | --- | --- |"
    for name, text, *_ in SCENARIOS:
        medians = {server: f"{statistics.median(figures):,.0f}" if figures else "-"
                   for server, figures in by_server(rounds, name).items()}
        nginx, haproxy = ratios(rounds, name, "nginx"), ratios(rounds, name, "haproxy")
        median = median_or_nothing(nginx)
        yield (f"| {text} | {medians['nginx']} | {medians['haproxy']} | {medians['amy-front']} "
               f"| {median:.2f} ({min(nginx, default=0):.2f} to {max(nginx, default=0):.2f}) "
               f"| {f'{statistics.median(haproxy):.2f}' if haproxy else '-'} "
               f"| {'yes' if median >= 1 else '**missed**'} |")
    yield ""
    yield "Peak memory (VmHWM of all processes together): " + ", ".join(
        f"{name} {kib / 1024:.1f} MiB" for name, kib in result["peak_kib"].items()) + "."
