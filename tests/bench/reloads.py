"""Reload under load: requests lost, and when the new release answers.

Twelve connections ask as fast as they are answered while the code in repo/ is
replaced in place and the server told to reload: `amyctl reload`, and HUP to
gunicorn's master behind nginx. The good release answers with a new version; the
broken one raises at import. A request is lost when its connection fails or its
answer is not 200. Rounds are interleaved.
"""

import statistics
import threading
import time
import urllib.error
import urllib.request

from hosting.load import PlainLoad
from hosting.wait import Late, wait_for
from mix import Port
from servers import DOMAIN, SOON_S, AmyWithGunicorn, NginxWithGunicorn, release

CONNECTIONS, BEFORE_S, AFTER_S = 12, 1.0, 4.0
KINDS = ("good", "broken")


def version(server):
    """What the site answers now; None when it does not."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.http}/version",
                                     headers={"Host": DOMAIN})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None


class Watch(threading.Thread):
    """Asks for the version all the time; when was `wanted` seen first?"""

    def __init__(self, server, wanted):
        super().__init__(daemon=True)
        self.server, self.wanted, self.seen_at = server, wanted, None
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.01):
            if version(self.server) == self.wanted:
                self.seen_at = time.monotonic()
                return


def reload_amy(server):
    done = server.host.amyctl("reload", DOMAIN, check=False)
    return {"exit": done.returncode, "said": done.stderr.strip()[-300:]}


def reload_classic(server):
    server.gunicorn.send(1)
    return {}


def pause(seconds):
    threading.Event().wait(seconds)


def one_round(server, kind, version_wanted, trigger):
    load = PlainLoad(Port(server), DOMAIN, ["/fast", "/version"], CONNECTIONS)
    pause(BEFORE_S)
    release(server.repo, version_wanted)
    watch = Watch(server, version_wanted)
    began = time.monotonic()
    told = trigger(server)
    took_s = time.monotonic() - began
    pause(AFTER_S)
    watch.over.set()
    watch.join(SOON_S)
    alive = version(server) is not None
    report = load.stop()
    return {
        "scenario": kind, "server": server.name, "answered": report.by_status[200],
        "lost": report.lost + report.answered - report.by_status[200],
        "lost_by_kind": {**report.failed, **{str(status): n for status, n in
                                             report.by_status.items() if status != 200}},
        "first_new_s": round(watch.seen_at - began, 2) if watch.seen_at else None,
        "told_after_s": round(took_s, 2), "serves_afterwards": alive,
        "slowest_ms": report.slowest_ms, **told,
    }


def mend_amy(server):
    """The old code back where the new was; it never stopped serving."""
    server.host.amyctl("reload", DOMAIN, check=False)


def mend_classic(server):
    """Its master is gone: somebody has to start it again."""
    if server.gunicorn.code is not None:
        server.start_gunicorn()
    else:
        server.gunicorn.send(1)


def run(directory, args, say):
    amy = AmyWithGunicorn(directory / "amy", args.venv)
    classic = NginxWithGunicorn(directory / "classic", args.venv)
    contenders = [(amy, reload_amy, mend_amy), (classic, reload_classic, mend_classic)]
    running, rounds = [], []
    try:
        running += [server.start() for server in (amy, classic)]
        for n in range(args.rounds):
            for server, trigger, mend in contenders if n % 2 == 0 else contenders[::-1]:
                for kind, text in (("good", f"release {n}"), ("broken", "broken")):
                    rounds.append({"round": n, **one_round(server, kind, text, trigger)})
                    say(rounds[-1])
                release(server.repo, f"mended {n}")
                mend(server)
                try:
                    wait_for(lambda: version(server) == f"mended {n}", SOON_S, "it serves again")
                except Late as late:
                    say({"server": server.name, "problem": str(late)})
        return {"rounds": rounds, "profiles": {}}
    finally:
        for server in reversed(running):
            server.stop()


def of(rounds, kind, server):
    return [r for r in rounds if r["scenario"] == kind and r["server"] == server.name]


def row(rounds, kind, server):
    mine = of(rounds, kind, server)
    lost = [r["lost"] for r in mine]
    asked = statistics.median(r["answered"] + r["lost"] for r in mine)
    times = [r["first_new_s"] for r in mine if r["first_new_s"] is not None]
    serves = sum(r["serves_afterwards"] for r in mine)
    first = f"{statistics.median(times):.2f} s" if times else "never"
    exits = sorted({str(r["exit"]) for r in mine if "exit" in r}) or ["-"]
    return (f"| {kind} release | {server.name} | {statistics.median(lost):,g} ({min(lost):,} to "
            f"{max(lost):,}) of {asked:,g} | {first} | {serves} of {len(mine)} "
            f"| {', '.join(exits)} |")


def report(result):
    rounds = result["rounds"]
    yield from __doc__.strip().splitlines()[2:]
    yield ""
    yield "| | | lost: median (min to max) | first new answer | serves afterwards | exit status |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for kind in KINDS:
        for server in (AmyWithGunicorn, NginxWithGunicorn):
            yield row(rounds, kind, server)
    good, broken = (sum(r["lost"] for r in of(rounds, kind, AmyWithGunicorn)) for kind in KINDS)
    refused = all(r["exit"] == 1 for r in of(rounds, "broken", AmyWithGunicorn))
    yield ""
    yield (f"amy loses nothing: {'yes' if good + broken == 0 else '**missed**'}; a broken release is "
           f"refused with exit status 1: {'yes' if refused else '**missed**'}.")
