"""A worker that answers with the bytes it is told and keeps what it was sent.

It speaks for no server: what a test wants to see on the wire stands in the
test. It listens where amy-workers would have put a worker's socket, so the
front takes it for one.
"""

import os
import socket
import threading
from dataclasses import dataclass, field

from hosting import users, walk
from hosting.wait import wait_for

SOON_S = 30
WIRE = "wire.localhost"

YAML = """\
site: {domain}
user: {user}
http: serve
health: {{path: /healthz, any_host: {health}}}
workers:
  - {{name: web, wsgi: none:none}}
routes:
  - {{path: /patient, pool: web, timeout: 1s}}
  - {{path: /static/, files: static}}
limits: {{{limits}, queue_time: 20s}}
"""


def deploy_wire(host, domain=WIRE, limits="body: 1MiB", health="true"):
    """A site with a few files and a pool that a test stands in for."""
    site = host.site(domain)
    static = site.directory / "static"
    static.mkdir()
    static.chmod(0o755)
    (static / "a.txt").write_bytes(b"alpha\n")
    (static / ".hidden").write_bytes(b"no\n")
    (static / "large.bin").write_bytes(bytes(range(256)) * 4096)
    for file in static.iterdir():
        file.chmod(0o644)
    (static / "out").symlink_to(host.settings)
    os.mkfifo(static / "pipe", 0o644)  # to open it would wait for a writer
    site.write_yaml(YAML.format(domain=domain, user=host.user.name, limits=limits,
                                health=health))
    return site


def slots(host):
    return walk.site_parts(host.status(), WIRE)["slots"]["web"]


def busy_slots(host):
    return slots(host)["busy"]


@dataclass
class Request:
    """One request as it came over the worker's socket."""

    line: str
    fields: list
    body: bytes = b""

    @property
    def path(self):
        return self.line.split(" ")[1]

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name):
        """The one value; a field that comes twice is an error of the front's."""
        values = self.all(name)
        assert len(values) <= 1, f"{len(values)} fields {name}: {values}"
        return values[0] if values else None


def answer(status="200 OK", *fields, body=b"fine\n", length=None):
    """An answer with a length, as most are."""
    length = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {length}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@dataclass
class Script:
    """What one path is answered with: the bytes, and whether that is the end."""

    data: bytes
    close: bool = False

    def __call__(self, link, _request):
        link.send(self.data)
        return not self.close


class Link:
    """One connection of the front's."""

    def __init__(self, raw):
        self.raw = raw
        self.received = b""

    def send(self, data):
        self.raw.sendall(data)

    def more(self):
        data = self.raw.recv(65536)
        self.received += data
        return bool(data)

    def read_request(self):
        """The next one, whole; None at the end."""
        while b"\r\n\r\n" not in self.received:
            if not self.more():
                return None
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        pairs = [tuple(part.strip() for part in text.partition(":")[::2]) for text in lines]
        request = Request(line, pairs)
        assert not request.all("transfer-encoding"), "a spooled body has a length"
        length = int(request.get("content-length") or 0)
        while len(self.received) < length:
            if not self.more():
                return None
        request.body, self.received = self.received[:length], self.received[length:]
        return request

    def ended(self):
        """Wait until the front closes this connection, reading what comes."""
        try:
            while self.more():
                pass
        except OSError:
            pass


@dataclass
class Worker:
    """Listens below run/SITE/POOL; `scripts` has what each path is answered with."""

    directory: os.PathLike
    name: str = "1.0"
    group: int = -1
    scripts: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)
    links: list = field(default_factory=list)

    def start(self):
        wait_for(lambda: os.path.isdir(self.directory), SOON_S, "the front made the directory")
        self.listener = socket.socket(socket.AF_UNIX)
        at = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
        try:
            beneath = f"/proc/self/fd/{at}"
            self.listener.bind(f"{beneath}/.{self.name}")
            os.chown(f"{beneath}/.{self.name}", -1, self.group)
            os.chmod(f"{beneath}/.{self.name}", 0o660)
            self.listener.listen(64)
            os.rename(f"{beneath}/.{self.name}", f"{beneath}/{self.name}")
        finally:
            os.close(at)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        """As a worker that dies: its name and its connections are gone."""
        os.unlink(os.path.join(self.directory, self.name))
        # A thread that waits in accept(2) holds the socket: wake it.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in self.links:
            try:
                link.raw.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            link = Link(raw)
            self.links.append(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        try:
            while request := link.read_request():
                self.requests.append(request)
                script = self.scripts.get(request.path.partition("?")[0], Script(answer()))
                if not script(link, request):
                    break
        except OSError:
            pass
        finally:
            link.raw.close()

    def last(self, path):
        """The last request for that path."""
        return [request for request in self.requests if request.path == path][-1]


def start_worker(host, name="1.0", domain=WIRE):
    group = users.front_user().gid if users.is_root() else -1
    return Worker(host.run / domain / "web", name, group).start()
