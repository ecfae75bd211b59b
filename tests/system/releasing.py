"""What the tests of releases share: what status says of a reload, and that a
site is whole."""

import os

from hosting import walk
from hosting.load import PlainLoad
from hosting.reload import Reload
from hosting.wait import wait_for

SOON_S = 60
# Requests a second: some at every moment of a reload, and the machine is left to
# the workers that start. Of pages that Django makes, fewer.
RATE = 200
DJANGO_RATE = 50


def load_of(host, domain, paths=("/fixed", "POST /echo"), connections=4, rate=RATE):
    """Runs until stop()."""
    return PlainLoad(host, domain, list(paths), connections, rate=rate)


def parts(host, domain):
    return walk.site_parts(host.status(), domain)


def reload_state(host, domain):
    """`away` while the supervisor is."""
    return parts(host, domain).get("reload", {"state": "away"})


def pids(host, domain):
    """Of all workers, by pool."""
    return {pool["name"]: [worker["pid"] for worker in pool["workers"]]
            for pool in parts(host, domain)["pools"]}


def generations(host, domain):
    return [pool["generation"] for pool in parts(host, domain)["pools"]]


def is_whole(host, domain):
    """One generation of every pool, all of its workers ready, only their sockets
    in the registry, and no reload under way."""
    site = parts(host, domain)
    if site.get("reload", {}).get("state") not in {"idle", "failed"}:
        return False
    pools = site.get("pools", [])  # a supervisor that begins has none yet
    names = [pool["name"] for pool in pools]
    if not names or len(set(names)) != len(names) or any(pool["draining"] for pool in pools):
        return False
    if not all(worker["state"] == "ready" for pool in pools for worker in pool["workers"]):
        return False
    web = next(pool for pool in pools if pool["name"] == "web")
    sockets = {f"{web['generation']}.{worker['position']}" for worker in web["workers"]}
    return (set(os.listdir(host.run / domain / "web")) == sockets
            and site["slots"]["web"]["total"] == len(sockets))


def expect_whole(host, domain):
    wait_for(lambda: is_whole(host, domain), SOON_S, f"{domain} is whole")


def expect_answers_of(host, domain, release, path="/"):
    """Whichever worker answers, it is of that release."""
    seen = {host.get(domain, path, tls=False).get("x-release") for _ in range(12)}
    assert seen == {str(release)}, seen


def serving(host, domain, path="/"):
    """The number of the release that answers; 0 while none does."""
    return int(host.get(domain, path, tls=False).get("x-release", 0))


def reload(host, domain, **options):
    return Reload(host, domain, **options).wait()


def expect_reload(host, domain, **options):
    """One that goes through."""
    went = reload(host, domain, **options)
    assert went.code == 0 and went.err == "", str(went)
    return went
