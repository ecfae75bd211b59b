"""What the running daemons say of themselves and of each site.

The same as `amyctl status --json`, with types. What this version has no name for
is in `raw`, as the daemon sent it.

    >>> from amy import status
    >>> host = status.read()
    >>> host.site("example.org").gate.closed
    False
    >>> [worker.pid for pool in host.site("example.org").pools for worker in pool.workers]
    [4711, 4712, 4713]
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from amy import control
from amy.control import Path
from amy.errors import Code, Error

__all__ = [
    "Backup", "Certificate", "Daemon", "Gate", "Host", "Pool", "Problem", "Process", "Queue",
    "Redis", "Reload", "Site", "Slots", "Worker", "front_site", "read",
]

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Process:
    """A child of a daemon: one front process, or one worker."""

    position: int
    pid: int
    #: "waiting", "boot", "ready", "drain", "killed", "backoff", "failed", "stopped"
    state: str
    #: How long this incarnation lives.
    age_s: float
    restarts: int
    rss_bytes: int
    #: Why it is not ready, or "".
    reason: str
    raw: Json = field(repr=False)


#: A worker of a pool has what a front process has.
Worker = Process


@dataclass(frozen=True)
class Daemon:
    """One of amy-front, amy-workers and amy-backup."""

    name: str
    #: Why it did not answer, or "": then it runs, and the rest is known.
    error: str
    version: str = ""
    pid: int = 0
    up_s: float = 0.0
    #: Started by a person, and all of it runs as that person.
    as_person: bool = False
    #: amy-front's children.
    processes: tuple[Process, ...] = ()
    raw: Json = field(default_factory=dict, repr=False)

    @property
    def runs(self) -> bool:
        """Did it answer?"""
        return self.error == ""


@dataclass(frozen=True)
class Gate:
    """A site's maintenance gate as amy-front has it."""

    closed: bool
    since: datetime | None
    #: Who asked us; "" when the page was renamed by other means.
    by: str
    #: Why the built-in page is shown, or "".
    warning: str


@dataclass(frozen=True)
class Slots:
    """How busy a pool is: requests that its workers can run at a time."""

    total: int
    busy: int
    #: Requests that wait for a slot, and how long the oldest one does.
    queued: int
    oldest_s: float
    #: Open WebSockets.
    tunnels: int


@dataclass(frozen=True)
class Certificate:
    """A certificate that is served, and what is wrong with its files, if so."""

    name: str
    names: tuple[str, ...]
    not_after: datetime | None
    issuer: str
    fingerprint: str
    #: Of the files; the former certificate is served on.
    error: str
    raw: Json = field(repr=False)


@dataclass(frozen=True)
class Pool:
    """The workers of one entry of site.yaml, of one generation."""

    name: str
    generation: int
    #: "current", "next" or "old"
    role: str
    draining: bool
    workers: tuple[Worker, ...]


@dataclass(frozen=True)
class Reload:
    """The reload under way, or how the last one ended."""

    #: "idle", "failed", or the phase it is in
    state: str
    generation: int
    #: Why it failed, or "".
    reason: str
    #: The real path of the code that serves.
    release: str


@dataclass(frozen=True)
class Backup:
    """What amy-backup knows of a site's backups."""

    #: There is a schedule; when the next one is due.
    scheduled: bool
    next: datetime | None
    #: False while it has not looked yet.
    known: bool
    sets: int
    bytes: int
    #: The newest good one's name, or "".
    good: str
    alarms: tuple[str, ...]
    raw: Json = field(repr=False)


@dataclass(frozen=True)
class Queue:
    """One of rq's queues."""

    name: str
    #: Jobs that wait; how long the one that is next has been.
    length: int
    oldest_s: float
    #: Jobs that run, and that failed.
    started: int
    failed: int


@dataclass(frozen=True)
class Redis:
    """What amy-workers knows of a site's Redis (`redis:` in site.yaml)."""

    #: False while it has not been asked yet.
    asked: bool
    #: Why the last time brought nothing, or "".
    error: str
    #: How old the figures are.
    age_s: float
    queues: tuple[Queue, ...]
    #: rq workers whose heartbeat is fresh, of those registered.
    workers_alive: int
    workers_known: int
    #: The server's memory, persistence, reach: `raw["server"]`.
    raw: Json = field(repr=False)


@dataclass(frozen=True)
class Problem:
    """A fault in a file that somebody should mend."""

    severity: str
    file: str
    line: int
    column: int
    key: str
    message: str
    #: What would be right, or "".
    allowed: str


@dataclass(frozen=True)
class Site:
    """One site: what each daemon that knows it says. A part is None, or empty,
    where the daemon that has it does not run."""

    name: str
    user: str
    gate: Gate | None
    #: By pool, or by the route of an upstream.
    slots: Mapping[str, Slots]
    certificates: tuple[Certificate, ...]
    pools: tuple[Pool, ...]
    reload: Reload | None
    backup: Backup | None
    redis: Redis | None
    problems: tuple[Problem, ...]
    raw: Json = field(repr=False)

    def require_gate(self) -> Gate:
        """The gate, or Error(ENOTFOUND) where amy-front does not have the site."""
        if self.gate is None:
            raise Error(Code.ENOTFOUND, f"amy-front does not serve {self.name!r}")
        return self.gate


@dataclass(frozen=True)
class Host:
    """All daemons and all sites of a host."""

    front: Daemon
    workers: Daemon
    backup: Daemon
    sites: tuple[Site, ...]

    def site(self, name: str) -> Site:
        """The site of that name, or Error(ENOTFOUND)."""
        for site in self.sites:
            if site.name == name:
                return site
        raise Error(Code.ENOTFOUND, f"there is no site {name!r}")


def read(*, run_directory: Path | None = None, timeout_s: float = 10.0) -> Host:
    """Ask all three daemons, within `timeout_s` altogether.

    A daemon that does not answer is one with an `error`: not every host has all
    of them. Raises Error when none answers: that of amy-front.
    """
    deadline = time.monotonic() + timeout_s
    answers: dict[str, Json] = {}
    errors: dict[str, Error] = {}
    for name in ("front", "workers", "backup"):
        try:
            answers[name] = control.ask(
                name, "GET", "/v1/status", run_directory=run_directory,
                timeout_s=max(0.001, deadline - time.monotonic()))
        except Error as error:
            errors[name] = error
    if not answers:
        raise errors["front"]
    daemons = {name: _daemon(name, answers.get(name), errors.get(name))
               for name in ("front", "workers", "backup")}
    return Host(daemons["front"], daemons["workers"], daemons["backup"],
                tuple(_sites(answers)))


def front_site(name: str, *, run_directory: Path | None = None,
               timeout_s: float = 10.0) -> Site:
    """What amy-front alone says of one site. Raises Error: ENOTFOUND, ECONN."""
    answer = control.ask("front", "GET", "/v1/status", run_directory=run_directory,
                         timeout_s=timeout_s)
    for one in answer.get("sites", ()):
        if one.get("site") == name:
            return _site(name, {"front": one})
    raise Error(Code.ENOTFOUND, f"there is no site {name!r}")


# ---- from JSON


def _date(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _seconds(json: Json, key: str) -> float:
    return float(json.get(key) or 0) / 1000


def _process(json: Json) -> Process:
    return Process(json.get("position", 0), json.get("pid", 0), json.get("state", ""),
                   _seconds(json, "age_ms"), json.get("restarts", 0), json.get("rss_bytes", 0),
                   json.get("reason", ""), json)


def _daemon(name: str, json: Json | None, error: Error | None) -> Daemon:
    if json is None:
        return Daemon(name, str(error))
    return Daemon(name, "", json.get("version", ""), json.get("pid", 0),
                  _seconds(json, "since_ms"), json.get("as_person", False),
                  tuple(map(_process, json.get("processes", ()))), json)


def _gate(json: Json | None) -> Gate | None:
    if not json:
        return None
    return Gate(json.get("state") == "closed", _date(json.get("since")), json.get("by", ""),
                json.get("warning", ""))


def _slots(json: Json) -> Slots:
    return Slots(json.get("total", 0), json.get("busy", 0), json.get("queued", 0),
                 _seconds(json, "oldest_ms"), json.get("tunnels", 0))


def _certificate(json: Json) -> Certificate:
    return Certificate(json.get("name", ""), tuple(json.get("names") or ()),
                       _date(json.get("not_after")), json.get("issuer") or "",
                       json.get("fingerprint") or "", json.get("error") or "", json)


def _pool(json: Json) -> Pool:
    return Pool(json.get("name", ""), json.get("generation", 0), json.get("role", ""),
                bool(json.get("draining")), tuple(map(_process, json.get("workers", ()))))


def _reload(json: Json | None) -> Reload | None:
    if not json:
        return None
    return Reload(json.get("state", ""), json.get("generation", 0), json.get("reason", ""),
                  json.get("release") or "")


def _backup(json: Json | None) -> Backup | None:
    if not json:
        return None
    good = json.get("good") or {}
    alarms = tuple(alarm.get("state", "") for alarm in json.get("alarms") or ())
    return Backup(json.get("scheduled", False), _date(json.get("next")),
                  json.get("known", False), json.get("sets", 0), json.get("bytes", 0),
                  good.get("name", ""), alarms, json)


def _redis(json: Json | None) -> Redis | None:
    if not json:
        return None
    workers = json.get("workers") or {}
    queues = tuple(Queue(one.get("name", ""), one.get("length", 0), _seconds(one, "oldest_ms"),
                         one.get("started", 0), one.get("failed", 0))
                   for one in json.get("queues") or ())
    return Redis(json.get("asked", False), json.get("error") or "", _seconds(json, "age_ms"), queues,
                 workers.get("alive", 0), workers.get("known", 0), json)


def _problem(json: Json) -> Problem:
    return Problem(json.get("severity", ""), json.get("file", ""), json.get("line") or 0,
                   json.get("column") or 0, json.get("key") or "", json.get("message", ""),
                   json.get("allowed") or "")


def _sites(answers: Mapping[str, Json]) -> list[Site]:
    """Each site once, with what each daemon says of it, in the order of names."""
    parts: dict[str, dict[str, Json]] = {}
    for daemon, answer in answers.items():
        for one in answer.get("sites", ()):
            parts.setdefault(one.get("site", ""), {})[daemon] = one
    return [_site(name, of_site) for name, of_site in sorted(parts.items())]


def _site(name: str, parts: Mapping[str, Json]) -> Site:
    front = parts.get("front", {})
    workers = parts.get("workers", {})
    problems: dict[Problem, None] = {}
    for part in parts.values():  # each daemon reads site.yaml, and tells the same
        problems |= dict.fromkeys(map(_problem, part.get("problems", ())))
    return Site(
        name, workers.get("user", ""), _gate(front.get("gate")),
        {pool: _slots(one) for pool, one in (front.get("slots") or {}).items()},
        tuple(map(_certificate, front.get("certificates") or ())),
        tuple(map(_pool, workers.get("pools") or ())), _reload(workers.get("reload")),
        _backup(parts.get("backup", {}).get("backup")), _redis(workers.get("redis")),
        tuple(problems), parts)
