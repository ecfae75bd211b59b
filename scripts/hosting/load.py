"""Load that never retries: what was sent, answered, and lost, by kind.

Plain HTTP by tests/support/load.c; TLS by the threads below, which are slower
and know certificates.
"""

import collections
import json
import os
import signal
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from hosting.rawhttp import Broken
from hosting.site import TOP
from hosting.users import as_user, clean_environment

FNV_OFFSET, FNV_PRIME, FNV_MASK = 14695981039346656037, 1099511628211, (1 << 64) - 1


def fnv1a(data):
    """As load.c names a body."""
    value = FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * FNV_PRIME) & FNV_MASK
    return f"{value:016x}"


@dataclass
class Report:
    sent: int = 0
    answered: int = 0
    by_status: collections.Counter = field(default_factory=collections.Counter)
    failed: collections.Counter = field(default_factory=collections.Counter)
    bodies: collections.Counter = field(default_factory=collections.Counter)
    slowest_ms: int = 0
    late: int = 0  # found no connection when they were due
    paths: dict = field(default_factory=dict)  # answered and percentiles, by path

    @property
    def lost(self):
        return sum(self.failed.values())

    def __str__(self):
        return (f"{self.sent} sent, {self.answered} answered {dict(self.by_status)}, "
                f"{self.lost} lost {dict(self.failed)}, slowest {self.slowest_ms} ms")


def load_program():
    build = Path(os.environ.get("AMY_LOAD_BUILD") or TOP / "build/dev")
    return build / "tests/amy_load"


class PlainLoad:
    """Runs until stop(); a context manager that stops. With `rate` requests come
    at random moments, so many a second, whether or not others were answered."""

    def __init__(self, host, domain, paths, connections=16, seconds=300, rate=None, seed=1,
                 wrapper=()):
        options = [] if rate is None else ["--rate", str(rate), "--seed", str(seed)]
        argv = [*wrapper, load_program(), *options, str(host.http), domain, str(connections),
                str(seconds), *paths]
        self.process = subprocess.Popen(
            as_user(None, argv, "TERM"), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
            text=True, env=clean_environment(),
        )
        self.report = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.report is None:
            self.stop()

    def stop(self, patience_s=90):
        self.process.send_signal(signal.SIGTERM)
        return self.wait(patience_s)

    def wait(self, patience_s=90):
        """Its own end, and what became of it."""
        text, _ = self.process.communicate(timeout=patience_s)
        raw = json.loads(text)
        self.report = Report(
            raw["sent"], raw["answered"],
            collections.Counter({int(key): count for key, count in raw["by_status"].items()}),
            collections.Counter(raw["failed"]),
            collections.Counter({
                (body["status"], body["fnv1a"]): body["count"] for body in raw["bodies"]
            }),
            raw["slowest_ms"],
            raw["late"],
            {path.pop("path"): path for path in raw["paths"]},
        )
        return self.report


class TlsLoad:
    """`connections` threads, each with one connection that it keeps as long as
    the server does. Counts handshakes and which leaf certificates were shown."""

    def __init__(self, host, domain, path="/", connections=8, gap_s=0.002):
        self.host, self.domain, self.path, self.gap_s = host, domain, path, gap_s
        self.report = Report()
        self.leaves = collections.Counter()
        self.handshakes = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True)
                         for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self, patience_s=90):
        self._stop.set()
        for thread in self._threads:
            thread.join(patience_s)
        return self.report

    def _run(self):
        connection = None
        while not self._stop.wait(self.gap_s):
            try:
                if connection is None:
                    connection = self._connect()
                if not self._ask(connection):
                    connection.close()
                    connection = None
            except (Broken, ssl.SSLError, OSError) as error:
                kind = getattr(error, "kind", None) or type(error).__name__
                with self._lock:
                    self.report.failed[kind] += 1
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _connect(self):
        connection = self.host.connect(self.domain)
        with self._lock:
            self.handshakes += 1
            self.leaves[connection.certificate()] += 1
        return connection

    def _ask(self, connection):
        """True when the connection may be used again."""
        began = time.monotonic()
        with self._lock:
            self.report.sent += 1
        connection.request("GET", self.path, {"Host": f"{self.domain}:{self.host.https}"})
        answer = connection.read_response()
        with self._lock:
            self.report.answered += 1
            self.report.by_status[answer.status] += 1
            took = int((time.monotonic() - began) * 1000)
            self.report.slowest_ms = max(self.report.slowest_ms, took)
        return "close" not in (answer.get("connection") or "").lower()
