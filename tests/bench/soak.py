"""Does anything grow? Load, reloads and certificate swaps for some minutes.

The front and three gunicorn workers serve fast, slow and unknown paths over plain
connections and TLS. Each round one site is reloaded, by new code or by none, its
certificate is replaced, and connections are opened and left. Memory and descriptors
of the daemons' own processes are read at the end of each round. Nothing may be
lost; and what the last third of the rounds uses may not be more than what the second
third did, but for what allocators and kernels round up.

The first third is left out: buffers, caches and slabs are filled then.
"""

import argparse
import fcntl
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from hosting import venv
from hosting.load import PlainLoad, TlsLoad
from hosting.site import APPLICATION, TEST_BASE, make_directory
from machine import memory_kib, tree
from mix import Port
from servers import DOMAIN, AmyWithGunicorn, release

# Resident memory that may come between two thirds, of one process.
SLACK_KIB, SLACK_SHARE = 512, 0.02
PATHS = ["20*/fast", "1*/slow", "20*/version", "20*/missing/1", "20*/missing/a"]


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/soak", description=__doc__.splitlines()[0])
    parser.add_argument("minutes", type=float, nargs="?", default=3.0, help="[3]")
    return parser.parse_args()


def prepare_venv():
    requirements = APPLICATION / "requirements.txt"
    TEST_BASE.mkdir(parents=True, exist_ok=True)
    with open(TEST_BASE / "venv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return venv.build(TEST_BASE / f"venv-{venv.requirements_hash(requirements)}", requirements)


def processes(amy):
    """The daemons' own, by a name that outlives a restart; workers come and go."""
    found = {"front master": amy.host.front.pid, "supervisor": amy.host.workers.pid}
    for number, pid in enumerate(tree(amy.host.front.pid)[1:]):
        found[f"front process {number}"] = pid
    return found


def look(amy):
    return {name: {"pid": pid, "rss_kib": memory_kib([pid], "VmRSS"),
                   "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}
            for name, pid in processes(amy).items()}


def leave_connections(amy):
    """A few that say nothing, half of a request, and one whose answer nobody reads."""
    for words in (b"", b"GET / HTT", f"GET /fast HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode()):
        for tls in (False, True):
            with amy.host.connect(DOMAIN, tls=tls) as connection:
                if words:
                    connection.send(words)


def one_round(amy, number):
    """Every third reload finds new code, every third a broken release."""
    kind = ("same", "new", "broken")[number % 3]
    if kind != "same":
        release(amy.repo, "broken" if kind == "broken" else f"release {number}")
    amy.host.authority.issue(amy.host.certificates / DOMAIN, [DOMAIN])
    code = amy.host.amyctl("reload", DOMAIN, check=False).returncode
    if kind == "broken":
        release(amy.repo, f"release {number}")
    leave_connections(amy)
    amy.host.amyctl("maintenance", "status", DOMAIN)
    amy.host.status()
    return {"round": number, "kind": kind, "exit": code}


def settle(amy):
    """The same moment in every round: kept connections of the load, and no others."""
    deadline = time.monotonic() + 10
    before = look(amy)
    while time.monotonic() < deadline:
        threading.Event().wait(0.5)
        now = look(amy)
        if all(now[name]["descriptors"] == before[name]["descriptors"] for name in now):
            return now
        before = now
    return before


def soak(amy, minutes, say):
    rounds = []
    end = time.monotonic() + minutes * 60
    plain = PlainLoad(Port(amy), DOMAIN, PATHS, 64, seconds=minutes * 60 + 600, rate=30)
    with TlsLoad(amy.host, DOMAIN, "/fast", connections=2, gap_s=0.05) as tls:
        while time.monotonic() < end or len(rounds) < 9:
            done = one_round(amy, len(rounds))
            rounds.append({**done, "processes": settle(amy)})
            say(rounds[-1])
    return rounds, plain.stop(), tls.report


def seen(rounds, name, what):
    return [r["processes"][name][what] for r in rounds if name in r["processes"]]


def growth(rounds):
    """What grew from the second third to the last: lines of text."""
    third = len(rounds) // 3
    middle, last = rounds[third:2 * third], rounds[2 * third:]
    for name in rounds[-1]["processes"]:
        pids = {r["processes"][name]["pid"] for r in rounds if name in r["processes"]}
        if len(pids) > 1:
            yield f"{name} was replaced: {pids}"
            continue
        before, after = (max(seen(part, name, "rss_kib")) for part in (middle, last))
        if after > before * (1 + SLACK_SHARE) + SLACK_KIB:
            yield f"{name}: memory grew from {before} to {after} KiB"
        # Connections, and workers that still drain, come and go: what leaks is
        # there at the quietest moment too.
        before, after = (min(seen(part, name, "descriptors")) for part in (middle, last))
        if after > before + 2:
            yield f"{name}: descriptors grew from {before} to {after}"


def faults(rounds, plain, tls):
    yield from growth(rounds)
    for text, report in (("plain", plain), ("TLS", tls)):
        odd = report.answered - report.by_status[200]
        if report.lost or odd:
            yield f"{text} load: {report}"
    for done in rounds:
        if done["exit"] != (1 if done["kind"] == "broken" else 0):
            yield f"round {done['round']}: reload of {done['kind']} code: exit {done['exit']}"


def main():
    args = arguments()
    base = prepare_venv()
    directory = Path(tempfile.mkdtemp(prefix="soak", dir=TEST_BASE))
    make_directory(directory)
    amy = AmyWithGunicorn(directory / "amy", base)
    try:
        amy.start()
        rounds, plain, tls = soak(amy, args.minutes, lambda r: print(json.dumps(r), flush=True))
    finally:
        amy.stop()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"plain: {plain}\nTLS: {tls}")
    found = list(faults(rounds, plain, tls))
    print("\n".join(found) or "nothing grows, nothing was lost")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
