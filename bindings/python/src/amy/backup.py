"""A site's backups: list them with their verdicts, make one, verify, restore.

A backup counts when its verdict is PARSED (pg_restore read all of it and the rows
were counted) or RESTORED; docs/backups.md says how it gets there.

`of_site(name)` has amy-backup do the work, as `amyctl backup` does: root, members
of amy-admin and the site's user may. `in_directory(path)` does it in this
process, which has to be one of the site's user in the site's environment.

    >>> from amy import backup
    >>> backups = backup.of_site("example.org")
    >>> made = backups.make()
    >>> made.verdict.counts
    True
    >>> [one.name for one in backups.sets()]
    ['20261123T160000Z', '20261123T153000Z']
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path as FilePath
from typing import Any, Protocol

from amy import _native, control
from amy.control import Path
from amy.errors import Code, Error

__all__ = ["Backups", "Progress", "Set", "Sets", "Verdict", "in_directory", "of_site"]


class Verdict(Enum):
    """How far a backup was proven."""

    WRITTEN = "written"  #: pg_dump ended well, all of it was synced to the disk
    HASHED = "hashed"  #: read again, and the same bytes
    PARSED = "parsed"  #: pg_restore read all of it; every table's rows were counted
    RESTORED = "restored"  #: restored into a throw-away cluster, with the same rows
    SUSPECT = "suspect"  #: sound, but empty, or less than half of the last good one
    DAMAGED = "damaged"  #: not what was written
    UNKNOWN = "unknown"  #: one that this package has no name for

    @property
    def counts(self) -> bool:
        """Is it a backup that one may rely on?"""
        return self in (Verdict.PARSED, Verdict.RESTORED)

    @classmethod
    def _missing_(cls, value: object) -> "Verdict":
        return cls.UNKNOWN


@dataclass(frozen=True)
class Set:
    """One backup."""

    #: The second in UTC at which it was begun: 20261123T160000Z.
    name: str
    verdict: Verdict
    #: Why the verdict is no better, or "".
    reason: str
    #: Why it was made: "schedule", "manual", "deploy".
    why: str
    started: datetime | None
    #: When the verdict was found.
    verified: datetime | None
    #: How long it took to make; to restore, 0 when that was not tried.
    duration_s: float
    restore_s: float
    bytes: int
    tables: int
    rows: int
    #: It stays, whatever the rules say.
    pinned: bool
    #: Dated in the future: a clock was wrong.
    ahead: bool
    warning: str
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Progress:
    """How far a job is; `of` and `of_tables` are 0 while that is not known."""

    stage: str
    bytes: int
    of: int
    tables: int
    of_tables: int


OnProgress = Callable[[Progress], None]


class Sets(tuple[Set, ...]):
    """All backups of a site, newest first, and how much else lies there."""

    #: Entries of DB_backups that are not ours: counted, never touched.
    foreign: int = 0


class _Runner(Protocol):
    """Does one job, and returns its last event or raises its Error."""

    def __call__(self, spec: Mapping[str, Any], on_progress: OnProgress | None) -> Mapping[str, Any]:
        ...


class Backups:
    """The backups of one site. Made by `of_site()` or `in_directory()`.

    Each call blocks until its job is over; `on_progress` is told meanwhile, in
    the caller's thread. Raises Error: ECONN (the database, or amy-backup does not
    run), EBUSY (another job, or host, is at it), EAGAIN (it gave way to others'
    locks), EUNSUPPORTED (a program is missing), EIO, ELIMIT (no room), EPARSE (a
    damaged set), ENOTFOUND, EDENIED.
    """

    def __init__(self, run: _Runner) -> None:
        self._run = run

    def sets(self) -> Sets:
        """Every backup there is, newest first."""
        result = self._run({"action": "list"}, None)
        sets = Sets(sorted(map(_set, result.get("sets", ())), key=lambda one: one.name, reverse=True))
        sets.foreign = result.get("foreign", 0)
        return sets

    def manifest(self, name: str = "") -> Mapping[str, Any]:
        """What is known of one backup, as its manifest.json has it: files with
        digests, tables with rows. Without a name, of the newest good one."""
        result: Mapping[str, Any] = self._run({"action": "show", "set": name}, None)["manifest"]
        return result

    def make(self, *, why: str = "manual", on_progress: OnProgress | None = None) -> Set:
        """Dump the database, read the dump through, and return what it is worth.

        `why` is "manual" or "deploy"; one for a deployment stays for seven days,
        and Error(ECANCELED) says that site.yaml wants none.
        """
        return self._one({"action": "dump", "why": why}, on_progress)

    def verify(self, name: str = "", *, on_progress: OnProgress | None = None) -> Set:
        """Read a backup through again; without a name, the newest good one.
        Error(EPARSE): it is damaged."""
        return self._one({"action": "verify", "set": name}, on_progress)

    def drill(self, name: str = "", *, on_progress: OnProgress | None = None) -> Set:
        """Restore a backup into a throw-away cluster and count its rows."""
        return self._one({"action": "drill", "set": name}, on_progress)

    def restore(self, database: str, name: str = "", *,
                on_progress: OnProgress | None = None) -> Set:
        """Restore a backup into a new, empty database of the site's server.

        One that holds anything is refused with Error(EEXIST) or another, and
        left as it is. Without a name, the newest good backup.
        """
        return self._one({"action": "restore", "set": name, "to": database}, on_progress)

    def pin(self, name: str) -> Set:
        """Keep a backup, whatever the rules say."""
        return self._one({"action": "pin", "set": name}, None)

    def unpin(self, name: str) -> Set:
        """Let the rules decide about it again."""
        return self._one({"action": "unpin", "set": name}, None)

    def accept(self, name: str) -> Set:
        """Say that a suspect one is right as it is."""
        return self._one({"action": "accept", "set": name}, None)

    def _one(self, spec: Mapping[str, Any], on_progress: OnProgress | None) -> Set:
        return _set(self._run(spec, on_progress)["set"])


def of_site(site: str, *, run_directory: Path | None = None) -> Backups:
    """A site's backups by way of amy-backup, under whose schedule they are."""

    def run(spec: Mapping[str, Any], on_progress: OnProgress | None) -> Mapping[str, Any]:
        job = control.ask("backup", "POST", control.site_path(site, "jobs"), spec,
                          run_directory=run_directory)
        while job.get("state") == "running":
            if on_progress is not None and "progress" in job:
                on_progress(_progress(job["progress"]))
            # Answered when there is something new, at the latest after a second.
            job = control.ask("backup", "GET", control.site_path(site, f"jobs/{job['run']}"),
                              run_directory=run_directory)
        return _result(job)

    return Backups(run)


def in_directory(directory: Path, *, database: str = "DATABASE_URL", site: str = "") -> Backups:
    """A site's backups in this process, without amy-backup.

    directory  the site's directory, with DB_backups in it
    database   the name of the variable of this process' environment that says
               which database it is; or "PG" for libpq's own, or "service=NAME"
    site       the site's name; "": that of the directory

    The process must be the site's user's, or what it makes could not be read by
    amy-backup; SIGPIPE must be ignored, as Python does by itself. A signal is
    heard when the job is over.
    """
    path = FilePath(directory)
    head = {"site": site or path.resolve().name, "from": database, "why": "manual"}

    def run(spec: Mapping[str, Any], on_progress: OnProgress | None) -> Mapping[str, Any]:
        return _run_here(path, {**head, **spec}, on_progress)

    return Backups(run)


def _run_here(path: FilePath, spec: Mapping[str, Any],
              on_progress: OnProgress | None) -> Mapping[str, Any]:
    """The job on a thread of its own; its events are read on this one."""
    last: Mapping[str, Any] = {}
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        code = Code.ENOTFOUND if isinstance(error, FileNotFoundError) else Code.EDENIED
        raise Error(code, f"opening {str(path)!r}: {error.strerror}", error.errno or 0) from None
    reading, writing = os.pipe()
    # Left in the reverse order: whatever happens, the events are closed before the
    # job is waited for. It goes on without a reader, and would block with one that
    # does not read.
    with (tempfile.TemporaryFile() as asked, ThreadPoolExecutor(1) as pool,
          open(reading, "rb") as events):
        asked.write(json.dumps(spec).encode())
        asked.seek(0)

        def work() -> None:
            try:
                _native.backup_job(directory, asked.fileno(), writing)
            finally:
                os.close(writing)
                os.close(directory)

        job = pool.submit(work)
        for line in events:
            last = json.loads(line)
            if on_progress is not None and last.get("event") == "progress":
                on_progress(_progress(last))
        job.result()  # raises why it failed
    return last


def _result(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a job that is over has brought."""
    state = job.get("state")
    result: Mapping[str, Any] = job.get("result") or {}
    if state == "done":
        return result
    message = str(job.get("message") or f"the job is {state}")
    if state == "skipped":
        raise Error(Code.ECANCELED, message, answer=job)
    raise Error(int(job.get("code") or Code.EIO), message, answer=job)


# ---- from JSON


def _set(json: Mapping[str, Any]) -> Set:
    return Set(
        json["name"], Verdict(json.get("verdict")), json.get("reason") or "",
        json.get("why") or "", _date(json.get("started")), _date(json.get("verified")),
        (json.get("duration_ms") or 0) / 1000, (json.get("restore_ms") or 0) / 1000,
        json.get("bytes", 0), json.get("tables", 0), json.get("rows", 0),
        json.get("pinned", False), json.get("ahead", False), json.get("warning") or "", json)


def _date(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _progress(json: Mapping[str, Any]) -> Progress:
    return Progress(json.get("stage", ""), json.get("bytes", 0), json.get("of", 0),
                    json.get("tables", 0), json.get("of_tables", 0))
