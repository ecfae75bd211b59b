"""A health page: can this process reach its databases, caches and Redis?

As a view, or as a middleware that stands first, which answers before Django looks
at the Host field and before SECURE_SSL_REDIRECT:

    MIDDLEWARE = ["amy.contrib.django.health.HealthMiddleware", ...]

    path("healthz", amy.contrib.django.health.view)

The answer is 200 or 503 and JSON, {"healthy": true, "database": "ok", ...}: of a
failure it tells the kind of the error and no more, since anybody may read it.

Each check runs in a thread of its own with a deadline, so that a database that
hangs makes a 503 and not a worker that hangs. While one has not come back it is not
asked again. An outcome is good for a second: a page that everybody may ask for
costs the database no more than one connection a second and process.

    AMY = {"HEALTH": {
        "PATH": "/healthz",     # what the middleware answers
        "DEADLINE_S": 2.0,      # for all checks together; below site.yaml's worker timeout
        "MAX_AGE_S": 1.0,       # how long an outcome is good
        "CHECKS": {"search": "pages.health.ping_search"},   # more of them: raise, or return
    }}
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.db import connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.module_loading import import_string
from django.views.decorators.http import require_safe

from amy.contrib.django import conf

Check = Callable[[], object]

OK = "ok"
TIMEOUT = "timeout"

# Caches that are of this process, of its disk or of the database.
_LOCAL_CACHES = (
    "django.core.cache.backends.dummy.", "django.core.cache.backends.locmem.",
    "django.core.cache.backends.filebased.", "django.core.cache.backends.db.",
)


# ---- what is checked


def check_database(alias: str) -> None:
    """A connection of its own, which is what a full server has none left of."""
    connection = connections[alias]
    try:
        connection.ensure_connection()
        if not connection.is_usable():
            raise ConnectionError("the database does not answer")
    finally:
        connection.close()


def check_cache(alias: str) -> None:
    """Reads a key that need not be there."""
    caches[alias].get("amy-health")


def check_rq(queue: str) -> None:
    """By django-rq's own client: what it reaches is what jobs reach."""
    import django_rq

    connection = django_rq.get_connection(queue)
    try:
        connection.ping()
    finally:
        connection.close()


def _rq_queues() -> list[str]:
    """One queue for each server of RQ_QUEUES; `default` before others."""
    servers: dict[str, str] = {}
    if "django_rq" in settings.INSTALLED_APPS:
        queues = getattr(settings, "RQ_QUEUES", {})
        for name in sorted(queues, key=lambda name: (name != "default", name)):
            servers.setdefault(repr(queues[name]), name)
    return list(servers.values())


def _named(kind: str, aliases: list[str]) -> dict[str, str]:
    """The name of each check: that of `default` is the kind alone."""
    return {kind if alias == "default" else f"{kind}.{alias}": alias for alias in aliases}


def checks() -> dict[str, Check]:
    """By name, what the settings ask for."""
    found: dict[str, Check] = {}
    for name, alias in _named("database", list(settings.DATABASES)).items():
        if settings.DATABASES[alias].get("ENGINE", "django.db.backends.dummy") != "django.db.backends.dummy":
            found[name] = partial(check_database, alias)
    for name, alias in _named("cache", list(settings.CACHES)).items():
        if not settings.CACHES[alias]["BACKEND"].startswith(_LOCAL_CACHES):
            found[name] = partial(check_cache, alias)
    for name, queue in _named("redis", _rq_queues()).items():
        found[name] = partial(check_rq, queue)
    for name, path in _option("CHECKS", {}).items():
        found[name] = import_string(path)
    return found


def _option(key: str, default: Any) -> Any:
    return (conf.setting("HEALTH") or {}).get(key, default)


# ---- asking


class _Probe:
    """One check, in a thread of its own."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._thread: threading.Thread | None = None
        self._outcome = OK

    def start(self) -> None:
        """Ask again, unless the last time is not over yet."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="amy-health", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        outcome = OK
        try:
            self._check()
        except Exception as error:  # whatever it is, the answer must come
            outcome = type(error).__name__
        self._outcome = outcome

    def finish(self, deadline: float) -> str:
        """The outcome, or that there is none yet."""
        if self._thread is None:
            return TIMEOUT
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return TIMEOUT if self._thread.is_alive() else self._outcome


class Health:
    """All checks, asked at most once per `max_age_s`."""

    def __init__(self, checks: Mapping[str, Check], deadline_s: float, max_age_s: float) -> None:
        self._probes = {name: _Probe(check) for name, check in checks.items()}
        self._deadline_s = deadline_s
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._report: dict[str, str] = {}
        self._until = 0.0

    def report(self) -> dict[str, str]:
        """Each check's outcome: "ok", "timeout", or the kind of its error."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._report = self._ask()
                self._until = time.monotonic() + self._max_age_s
            return self._report

    def _ask(self) -> dict[str, str]:
        deadline = time.monotonic() + self._deadline_s
        for probe in self._probes.values():
            probe.start()
        return {name: probe.finish(deadline) for name, probe in self._probes.items()}


_of_process: tuple[int, Health] | None = None


def _health() -> Health:
    """That of this process: after a fork neither threads nor locks are of use."""
    global _of_process
    mine = _of_process
    if mine is None or mine[0] != os.getpid():
        mine = (os.getpid(), Health(checks(), _option("DEADLINE_S", 2.0), _option("MAX_AGE_S", 1.0)))
        _of_process = mine
    return mine[1]


# ---- answering


def _answer() -> HttpResponse:
    report = _health().report()
    healthy = all(outcome == OK for outcome in report.values())
    body: dict[str, Any] = {"healthy": healthy, **report}
    response = JsonResponse(body, status=200 if healthy else 503)
    response["Cache-Control"] = "no-store"
    response["Content-Length"] = str(len(response.content))  # CommonMiddleware comes later
    return response


@require_safe
def view(_request: HttpRequest) -> HttpResponse:
    """200 when every check is well, else 503."""
    return _answer()


class HealthMiddleware:
    """Answers AMY["HEALTH"]["PATH"] before anything else does."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._path = _option("PATH", "/healthz")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info == self._path:
            return view(request)
        return self._get_response(request)
