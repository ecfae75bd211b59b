"""One request in twenty takes a second, the others 5 ms.

amy-front with amy-workers and gunicorn, and nginx with gunicorn, each with three
workers of the same environment. Both are loaded at the same time by the same
requests in the same order, so that whatever else the machine does hits both; the
application waits and does not compute, so they do not hit each other.

The closed loop (16 connections, each sends when it was answered) tells the rate,
which the workers alone decide. It is no measure of waiting: while the server is
slow it sends less. That is what the open loop is for: requests come at random
moments, so many a second that the workers are busy 60 or 80 % of the time, and are
timed from when they were due. Percentiles of all rounds together would hide that
one bad minute is worse than another, so each round is a pair, and the median of the
rounds' ratios is what counts.
"""

import statistics

from hosting.load import PlainLoad
from servers import DOMAIN, AmyWithGunicorn, NginxWithGunicorn

FAST, SLOW = "/fast", "/slow"
PATHS = [f"19*{FAST}", f"1*{SLOW}"]
WORKERS, MEAN_S = 3, 0.95 * 0.005 + 0.05 * 1.0
# name, text, share of the workers' time or None for a closed loop
SCENARIOS = [
    ("closed", "closed loop, 16 connections", None),
    ("open-60", "open loop, workers busy 60 %", 0.6),
    ("open-80", "open loop, workers busy 80 %", 0.8),
]
TARGET = 0.5


class Port:
    """What a load needs to know of a server."""

    def __init__(self, server):
        self.http = server.http


def start_load(server, share, seed, args):
    if share is None:
        return PlainLoad(Port(server), DOMAIN, PATHS, 16, args.mix_seconds)
    return PlainLoad(Port(server), DOMAIN, PATHS, 512, args.mix_seconds,
                     rate=share * WORKERS / MEAN_S, seed=seed)


def result_of(server, report, seconds):
    fast, slow = report.paths[FAST], report.paths[SLOW]
    return {
        "server": server.name, "per_s": round(report.answered / seconds, 1),
        "lost": report.lost + report.answered - report.by_status[200],
        **{f"fast_{part}_ms": round(fast[f"{part}_us"] / 1000, 1) for part in ("p50", "p90", "p99")},
        **{f"slow_{part}_ms": round(slow[f"{part}_us"] / 1000) for part in ("p50", "p99")},
    }


def run(directory, args, say):
    servers = [AmyWithGunicorn(directory / "amy", args.venv),
               NginxWithGunicorn(directory / "classic", args.venv)]
    running = []
    try:
        running += [server.start() for server in servers]
        rounds = []
        for name, _, share in SCENARIOS:
            for n in range(args.rounds):
                loads = [(server, start_load(server, share, n + 1, args)) for server in servers]
                for server, load in loads:
                    report = load.wait(args.mix_seconds + 120)
                    rounds.append({"scenario": name, "round": n,
                                   **result_of(server, report, args.mix_seconds)})
                    say(rounds[-1])
        return {"rounds": rounds, "profiles": {}}
    finally:
        for server in reversed(running):
            server.stop()


def pairs(rounds, scenario, key):
    """[(amy's, the other's)] by round."""
    mine = [r for r in rounds if r["scenario"] == scenario]
    amy = {r["round"]: r[key] for r in mine if r["server"] == AmyWithGunicorn.name}
    other = {r["round"]: r[key] for r in mine if r["server"] == NginxWithGunicorn.name}
    return [(amy[n], other[n]) for n in sorted(amy.keys() & other.keys())]



def report(result):
    rounds = result["rounds"]
    yield from __doc__.strip().splitlines()
    yield ""
    yield ("| scenario | requests/s: both | p50 of the fast | p99 of the fast | ratio: median (min to "
           "max) | p99 of the slow | at most half |")
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, text, _ in SCENARIOS:
        ratios = sorted(a / b for a, b in pairs(rounds, name, "fast_p99_ms"))
        median = statistics.median(ratios)

        def both(key, unit=" ms", name=name):
            amy, other = zip(*pairs(rounds, name, key))
            return f"{statistics.median(amy):,g} / {statistics.median(other):,g}{unit}"

        yield (f"| {text} | {both('per_s', '')} | {both('fast_p50_ms')} | {both('fast_p99_ms')} "
               f"| {median:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {both('slow_p99_ms')} "
               f"| {'yes' if median <= TARGET else '**missed**'} |")
    yield ""
    yield ("Why less than half cannot be had at every load by the order of a queue alone stands in "
           "docs/decisions/0072-fair-shares-of-a-queue.md.")
    yield ("Figures are amy / nginx with gunicorn. Lost in all rounds: "
           f"{sum(r['lost'] for r in rounds if r['server'] == AmyWithGunicorn.name)} / "
           f"{sum(r['lost'] for r in rounds if r['server'] == NginxWithGunicorn.name)}.")
