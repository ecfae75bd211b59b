"""The one exception of the package."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

__all__ = ["Code", "Error", "Fate", "Source"]


class Code(IntEnum):
    """What the caller can do about a failure; the numbers are libamy's own."""

    EINVAL = -1  #: fix the call
    ENOMEM = -2  #: out of memory
    EIO = -3  #: input or output failed
    ENOTFOUND = -4  #: there is no such thing
    EPARSE = -5  #: what was read is malformed
    ETIMEOUT = -6  #: the deadline passed
    EDENIED = -7  #: not permitted
    EBUSY = -8  #: somebody else has it
    EAGAIN = -9  #: try again
    EEXIST = -10  #: it exists already
    EPROTO = -11  #: the peer broke the protocol
    ELIMIT = -12  #: a limit was reached
    EAUTH = -13  #: authentication failed
    ECANCELED = -14  #: canceled
    EUNSUPPORTED = -15  #: not supported here
    ECONN = -16  #: the connection failed, or nobody listens
    ESTATE = -17  #: not possible in this state


class Source(IntEnum):
    """Whose number `Error.detail` is."""

    NONE = 0
    SYS = 1  #: the system: see `Error.errno`
    TLS = 2  #: OpenSSL
    SQL = 3  #: PostgreSQL: see `Error.sqlstate`
    HTTP = 4  #: an HTTP status
    CURL = 5  #: libcurl


class Fate(IntEnum):
    """Of a Redis command that failed: did the server act on it?"""

    ANSWERED = 0  #: it said why it did not
    NOT_RUN = 1  #: no byte of it was sent
    UNKNOWN = 2  #: it was sent, and no answer came: it may have run, or may yet


class Error(Exception):
    """A call of libamy failed.

    code      what to do about it, a `Code` (a plain number for one that this
              package does not know)
    message   what happened, one line
    errno     the system's number where a system call failed, else 0
    source    whose number `detail` is
    detail    that number, e.g. an HTTP status
    sqlstate  PostgreSQL's five characters, or ""
    answer    what a daemon sent along with its refusal: `problems`, `lines` ...
    fate      of a Redis command, a `Fate`; else None
    """

    def __init__(self, code: int, message: str, errno: int = 0, source: int = Source.NONE,
                 detail: int = 0, sqlstate: str = "",
                 answer: Mapping[str, Any] | None = None, fate: int | None = None) -> None:
        super().__init__(code, message, errno, source, detail, sqlstate, answer, fate)
        self.code: int = Code(code) if code in Code._value2member_map_ else code
        self.message = message
        self.errno = errno
        self.source = source
        self.detail = detail
        self.sqlstate = sqlstate
        self.answer: Mapping[str, Any] = answer or {}
        self.fate = None if fate is None else Fate(fate)

    def __str__(self) -> str:
        name = self.code.name if isinstance(self.code, Code) else str(self.code)
        return f"{self.message} ({name})"
