"""The maintenance gate of a site: one switch that decides whether it serves.

The switch is a file's name in the site's directory: `maintenance_on.html` closes
the site, `maintenance_off.html` opens it. There are two ways to it:

`Gate(directory)` looks at the directory and renames the page itself. It needs no
daemon, but the right to rename there, which a site's user does not have.

`close(site)`, `open(site)` and `state(site)` ask amy-front, which may. They return
when every front process shows the new state, and the site's user may use them.

    >>> from amy import gate
    >>> gate.close("example.org")
    >>> with gate.Gate("/webapps/example.org") as g:
    ...     g.is_closed
    True
"""

from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import TracebackType

from amy import _native, control, status
from amy._units import count, milliseconds
from amy.control import Path

__all__ = ["Gate", "View", "close", "open", "state"]


@dataclass(frozen=True)
class View:
    """What a gate shows at one moment."""

    closed: bool
    #: When this gate object first saw the state; amy-front's own gate, which
    #: knows since when, is asked by `state()`.
    since: datetime
    #: Who toggled it through this object; "" when it was renamed otherwise.
    by: str
    #: Why the built-in page is shown, or "".
    warning: str
    #: What visitors are told in Retry-After, seconds.
    retry_after_s: int
    #: The page while closed, else empty.
    page: bytes = field(repr=False)


class Gate:
    """The gate of one site's directory, looked at without any daemon.

    A context manager. Of one thread at a time: a second one inside a call gets
    Error(EBUSY). After fork() the child makes its own (Error(ESTATE)).
    """

    def __init__(self, directory: Path, *, retry_after_s: int = 0) -> None:
        """Watch `directory`; `retry_after_s` 0 means 120.

        Raises Error: ENOTFOUND (no such directory), EDENIED, EINVAL.
        """
        self._gate = _native.Gate(directory, count(retry_after_s, "retry_after_s"))

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.free()

    def free(self) -> None:
        """Give the gate back; every other call raises Error(ESTATE) then."""
        self._gate.free()

    @property
    def is_closed(self) -> bool:
        """Is the site closed? Looks at the directory now."""
        return self.look().closed

    def look(self) -> View:
        """Look at the directory now, and return what is there.

        Raises Error: EIO, EDENIED, ENOTFOUND (the directory is gone).
        """
        self._gate.poll()
        return self.view()

    def view(self) -> View:
        """What was seen last, without looking again; costs no system call."""
        closed, retry_after_s, since_ms, by, warning, page = self._gate.read()
        since = datetime.fromtimestamp(since_ms / 1000, timezone.utc)
        return View(closed, since, by, warning, retry_after_s, page)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until state or page have changed since the last wait().

        True when they have, False when `timeout_s` passed first (None: no end; 0: do
        not wait).
        Other threads run meanwhile.
        """
        if timeout_s is None:
            return self._gate.wait(-1)
        return self._gate.wait(0 if timeout_s == 0 else milliseconds(timeout_s))

    def close(self, by: str = "") -> None:
        """Close the site by renaming its page, or with a built-in one.

        `by` is who asks, for `View.by`. Closed already is no failure.
        Raises Error: EDENIED, EIO.
        """
        self._gate.shut(by)

    def open(self, by: str = "") -> None:
        """Open the site. Where both pages exist, the one called off is kept as
        maintenance_off.html.saved. Open already is no failure.

        Raises Error: EDENIED, EIO.
        """
        self._gate.open(by)


def state(site: str, *, run_directory: Path | None = None) -> status.Gate:
    """What amy-front says of a site's gate: closed or not, since when, by whom.

    Raises Error: ENOTFOUND (no such site, or amy-front never ran), ECONN.
    """
    return status.front_site(site, run_directory=run_directory).require_gate()


def close(site: str, *, run_directory: Path | None = None, timeout_s: float = 60.0) -> None:
    """Have amy-front close a site; returns when every visitor is shown the page.

    Raises Error: EDENIED (root, group amy-admin and the site's user may),
    ENOTFOUND (no such site), ECONN (amy-front does not run), ETIMEOUT.
    """
    _put(site, "closed", run_directory, timeout_s)


def open(site: str, *, run_directory: Path | None = None, timeout_s: float = 60.0) -> None:
    """Have amy-front open a site; the same as `close()` but for the state."""
    _put(site, "open", run_directory, timeout_s)


def _put(site: str, word: str, run_directory: Path | None, timeout_s: float) -> None:
    control.ask("front", "PUT", control.site_path(site, "gate"), {"state": word},
                run_directory=run_directory, timeout_s=timeout_s)
