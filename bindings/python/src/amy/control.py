"""One request to a running daemon, over its control socket.

The daemons know who asks by the socket: root and members of the group amy-admin
may do everything, a site's user what concerns that site, anybody may read the
status. docs/api/control.md lists every method and path.

    >>> from amy import control
    >>> control.ask("front", "PUT", "/v1/sites/example.org/gate", {"state": "closed"})
    {'state': 'closed'}
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from amy import _native
from amy._units import milliseconds
from amy.errors import Code, Error, Source

__all__ = ["RUN_DIRECTORY", "Path", "ask", "site_path"]

Path: TypeAlias = str | os.PathLike[str]

#: Where the daemons' sockets are, unless they were started with --run.
RUN_DIRECTORY = "/run/amy"

_CODES = {
    400: Code.EINVAL, 403: Code.EDENIED, 404: Code.ENOTFOUND, 405: Code.EUNSUPPORTED,
    409: Code.EBUSY, 413: Code.ELIMIT, 422: Code.ESTATE, 503: Code.EAGAIN,
}
_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}\Z")


def site_path(site: str, rest: str) -> str:
    """The path of something of one site: `/v1/sites/{site}/{rest}`.

    Raises Error(ENOTFOUND) for what cannot be a site's name.
    """
    if not _NAME.match(site):
        raise Error(Code.ENOTFOUND, f"there is no site {site!r}")
    return f"/v1/sites/{site}/{rest}"


def ask(daemon: str, method: str, path: str, body: Mapping[str, Any] | None = None, *,
        run_directory: Path | None = None, timeout_s: float = 10.0) -> dict[str, Any]:
    """Ask a daemon, and return what it answers with a status of 2xx.

    daemon         "front", "workers" or "backup"
    body           sent as JSON, at most 64 KiB
    run_directory  where its socket is; None: RUN_DIRECTORY
    timeout_s      for all of it, more than 0

    Raises Error: ECONN or ENOTFOUND (the daemon does not run), EDENIED,
    ETIMEOUT, EIO (it ended meanwhile and may have begun), and for a refusal the
    code that fits, with the HTTP status in `detail` and the rest in `answer`.
    """
    text = None if body is None else json.dumps(body)
    status, raw = _native.ask(daemon, method, path, text,
                              RUN_DIRECTORY if run_directory is None else run_directory,
                              milliseconds(timeout_s))
    answer = _object_of(daemon, raw)
    if 200 <= status < 300:
        return answer
    message = answer.get("detail") or f"amy-{daemon} answered with status {status}"
    raise Error(_CODES.get(status, Code.EPROTO), str(message), source=Source.HTTP,
                detail=status, answer=answer)


def _object_of(daemon: str, raw: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(raw) if raw else {}
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Error(Code.EPROTO, f"amy-{daemon} answered with something that is no JSON object")
    return answer
