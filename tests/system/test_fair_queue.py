"""Requests known to be fast do not wait for all the slow ones that came before."""

import threading

from hosting.wait import wait_for
from support import TINY, TINY_YAML, deploy_tiny

SOON_S = 30
SLOW, FAST = "/slow?s=1.5", "/fixed"


class Visitor(threading.Thread):
    """Asks once; notes itself in `done` when answered."""

    def __init__(self, host, path, done):
        super().__init__(daemon=True)
        self.host, self.path, self.done = host, path, done
        self.start()

    def run(self):
        status = self.host.get(TINY, self.path, tls=False).status
        self.done.append((self.path, status))


def queued(host):
    for site in host.daemon_status("front")["sites"]:
        if site["site"] == TINY:
            return site["slots"]["web"]["queued"]
    return None


def test_fast_request_passes_slow_ones_that_wait(new_host, django_venv):
    """One worker, one front process: one slow request runs and three wait. The first
    of them goes first, being the oldest; the fast one goes before the others."""
    host = new_host(processes=1)
    deploy_tiny(host, TINY, django_venv, TINY_YAML.replace("count: 2", "count: 1"))
    host.start_workers()
    host.start_front()
    for path in (SLOW, FAST):  # it learns what they take
        assert host.get(TINY, path, tls=False).status == 200
    done = []
    visitors = []
    for number in range(4):
        visitors.append(Visitor(host, SLOW, done))
        wait_for(lambda number=number: queued(host) == number, SOON_S, "one more waits")
    visitors.append(Visitor(host, FAST, done))
    for visitor in visitors:
        visitor.join(SOON_S)
    assert {status for _, status in done} == {200}
    paths = [path for path, _ in done]
    assert paths.count(SLOW) == 4
    assert paths.index(FAST) <= 2, paths
