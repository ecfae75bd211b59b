"""A Redis client that keeps its deadlines: one for each call, over name, connect,
TLS, AUTH, queue and answer.

    >>> from amy.redis import Client
    >>> with Client("redis://localhost:6379/0", timeout_s=1.0) as client:
    ...     client.run("SET", "greeting", "hello")
    ...     client.run("GET", "greeting")
    ...     client.pipeline([("INCR", "visits"), ("LRANGE", "names", 0, -1)])
    'OK'
    b'hello'
    [1, []]

A server that is gone costs nothing: after a few failures in a row calls are refused
at once with Error(ECONN), but for one now and then that tries. A call that failed
has a `fate`: NOT_RUN may be tried again, UNKNOWN may have run.

A client has one connection, made when it is first needed and made again when it is
lost, and belongs to one thread at a time: have one for each thread. In a child after
fork() make another. A call is not interrupted by signals; its deadline ends it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any, TypeAlias

from amy import _native
from amy._units import milliseconds, size
from amy.errors import Fate

__all__ = ["Client", "ErrorReply", "Fate", "Reply", "State", "View", "Word"]

#: One word of a command: a text is sent as UTF-8, a number as digits.
Word: TypeAlias = str | bytes | int | float

#: What a server answers: None, bytes (a string), str (a status such as "OK"), int,
#: a list of replies, or within those an ErrorReply.
Reply: TypeAlias = Any


@dataclass(frozen=True)
class ErrorReply:
    """The error of one command among others: a pipeline goes on after it."""

    message: str

    @property
    def kind(self) -> str:
        """Its first word: WRONGTYPE, OOM, ERR ..."""
        return self.message.partition(" ")[0]


class State(IntEnum):
    """What a client is doing."""

    IDLE = 0  #: not connected: nobody needs it
    CONNECTING = 1
    READY = 2
    PAUSING = 3  #: waits before it tries again
    BROKEN = 4  #: too many failures: calls are refused at once


@dataclass(frozen=True)
class View:
    """How a client is."""

    state: State
    #: Attempts failed in a row.
    failures: int
    #: Connections made in all.
    connections: int
    #: Until the next attempt may begin.
    retry_s: float
    #: Why the last connection ended, or "".
    problem: str


class Client:
    """A connection to one server. A context manager."""

    def __init__(self, url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 5.0,
                 name: str | None = None, ca_file: str | None = None,
                 cert_file: str | None = None, key_file: str | None = None,
                 server_name: str | None = None, reply_bytes_max: int = 0) -> None:
        """Make a client, which connects when it is first needed.

        url                redis://[[user]:password@]host[:port][/db], rediss://
                           (TLS, verified), unix://[[user]:password@]/path[?db=n]
        timeout_s          of a call that names none
        connect_timeout_s  of one attempt: name, connect, TLS, AUTH
        name               CLIENT SETNAME
        ca_file            whom to trust, PEM; None: whom this system trusts
        cert_file, key_file  our own, PEM
        server_name        whom the certificate is to name; None: the URL's host
        reply_bytes_max    a longer reply ends the connection; 0: 64 MiB

        Raises Error: EINVAL (a timeout, the URL; its password is never told), EUNSUPPORTED
        (libhiredis is missing: the message names the package).
        """
        self._client = _native.Redis(url, name, ca_file, cert_file, key_file, server_name,
                                     _ms(timeout_s), _ms(connect_timeout_s),
                                     size(reply_bytes_max, "reply_bytes_max"))

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.free()

    def free(self) -> None:
        """Close the connection; every other call raises Error(ESTATE) then."""
        self._client.free()

    def run(self, *words: Word, timeout_s: float | None = None) -> Reply:
        """Run one command: `run("SET", "key", b"value")`.

        A command that blocks (BLPOP) needs more time than it waits for. Those that
        change the connection (AUTH, SELECT, SUBSCRIBE, MULTI ...) are refused.

        Raises Error, with its `fate`: what the server refused, by its error EAUTH,
        EDENIED, EAGAIN, ELIMIT, ESTATE, ENOTFOUND or EINVAL; without an answer
        ETIMEOUT, ECONN, EPROTO or ELIMIT.
        """
        return _reply(self._client.run(words, _ms(timeout_s)))

    def pipeline(self, commands: Iterable[Iterable[Word]], *, timeout_s: float | None = None,
                 atomic: bool = False, bytes_max: int = 0) -> list[Reply]:
        """Run many commands as one: their replies, in order, with an `ErrorReply`
        for each that failed.

        atomic     within MULTI and EXEC: all run or none, and no other's between
        bytes_max  of all commands together; 0: 16 MiB

        Raises Error where there are no replies at all, and EINVAL for no commands.
        """
        replies: list[Reply] = _reply(self._client.batch(commands, _ms(timeout_s), atomic,
                                                          size(bytes_max, "bytes_max")))
        return replies

    def view(self) -> View:
        """How the client is; asks nobody."""
        state, failures, connections, retry_ms, problem = self._client.view()
        return View(State(state), failures, connections, retry_ms / 1000, problem)


def _ms(seconds: float | None) -> int:
    """0: the default."""
    return 0 if seconds is None else milliseconds(seconds)


def _reply(reply: Reply) -> Reply:
    """The extension gives an error as a tuple of one."""
    if isinstance(reply, list):
        return [_reply(one) for one in reply]
    return ErrorReply(*reply) if isinstance(reply, tuple) else reply
