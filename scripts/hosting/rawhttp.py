"""A small, strict HTTP/1.1 client over a socket: it sends what it is told, reads
exactly one answer at a time and says when an answer is cut short. It neither
retries nor follows anything."""

import functools
import socket
import ssl
from dataclasses import dataclass, field


class Broken(Exception):
    """The answer is not a whole, well-formed one. `kind` says how: "closed"
    (nothing came), "short" (it ended early), "malformed"."""

    def __init__(self, kind, detail=""):
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


@dataclass
class Response:
    status: int
    reason: str
    fields: list
    body: bytes = b""
    interim: list = field(default_factory=list)

    def get(self, name, default=None):
        """The one value of a field; more than one is malformed."""
        values = self.all(name)
        if len(values) > 1:
            raise Broken("malformed", f"{len(values)} fields {name}")
        return values[0] if values else default

    def all(self, name):
        return [value for key, value in self.fields if key == name.lower()]

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")


@functools.cache
def client_context(authority, minimum=ssl.TLSVersion.TLSv1_3):
    """Trusts this authority alone."""
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = minimum
    return context


class Connection:
    """Wraps a connected socket; closes it."""

    def __init__(self, raw):
        self.raw = raw
        self._received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.raw.close()

    def send(self, data):
        self.raw.sendall(data)

    def request(self, method, path, fields, body=b""):
        self.send(format_request(method, path, fields, body))

    # ---- reading

    def _more(self, kind):
        try:
            data = self.raw.recv(65536)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Broken("reset", str(error)) from error
        except ssl.SSLEOFError as error:
            raise Broken(kind, "no close_notify") from error
        except (socket.timeout, TimeoutError) as error:
            raise Broken("timeout", str(error)) from error
        if not data:
            raise Broken(kind)
        self._received += data

    def _take(self, count):
        while len(self._received) < count:
            self._more("short")
        taken, self._received = self._received[:count], self._received[count:]
        return taken

    def _line(self, kind="short"):
        while b"\r\n" not in self._received:
            self._more(kind if not self._received else "short")
        line, self._received = self._received.split(b"\r\n", 1)
        return line

    def read_response(self, method="GET"):
        """One final answer with its interim ones; `method` of the request, as
        an answer to HEAD has no body."""
        interim = []
        while True:
            response = self._head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response.status)
        response.interim = interim
        response.body = self._body(response, method)
        return response

    def _head(self):
        version, _, rest = self._line("closed").decode("latin-1").partition(" ")
        status, _, reason = rest.partition(" ")
        if version not in {"HTTP/1.1", "HTTP/1.0"} or len(status) != 3 or not status.isdigit():
            raise Broken("malformed", f"status line {version!r} {rest!r}")
        fields = []
        while line := self._line():
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or name != name.strip() or not name:
                raise Broken("malformed", f"field line {line!r}")
            fields.append((name.lower(), value.strip(" \t")))
        return Response(int(status), reason, fields)

    def _body(self, response, method):
        if method == "HEAD" or response.status in {101, 204, 304}:
            return b""
        coding, length = response.get("transfer-encoding"), response.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise Broken("malformed", f"framing {coding!r} {length!r}")
            return self._chunks()
        if length is not None:
            return self._take(int(length))
        return self.read_rest()

    def _chunks(self):
        body = []
        while size := int(self._line().split(b";")[0], 16):
            body.append(self._take(size))
            if self._take(2) != b"\r\n":
                raise Broken("malformed", "chunk without its end")
        while self._line():
            pass
        return b"".join(body)

    def read_rest(self):
        """All until the other end closes."""
        while True:
            try:
                self._more("end")
            except Broken as end:
                if end.kind != "end":
                    raise
                rest, self._received = self._received, b""
                return rest

    def read_some_until(self, wanted):
        """What has come by the time that `wanted` is in it."""
        while wanted not in self._received:
            self._more("short")
        some, self._received = self._received, b""
        return some

    def is_closed_by_peer(self):
        """True once the other end has closed and nothing is left to read."""
        if self._received:
            return False
        try:
            self._more("end")
        except Broken:
            return True
        return False

    def certificate(self):
        """The leaf that the server showed, in DER."""
        return self.raw.getpeercert(binary_form=True)


def format_request(method, path, fields, body=b""):
    """Bytes of a request; Content-Length is added where a body goes along."""
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    if body or method in {"POST", "PUT", "PATCH"}:
        if not any(name.lower() in {"content-length", "transfer-encoding"} for name in fields):
            lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
