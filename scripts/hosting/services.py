"""The site's own PostgreSQL and Redis, from the distribution's packages, run by
the site's user on unix sockets in a directory of theirs; and a certificate
authority that speaks ACME, on free ports of loopback."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

from hosting.certificates import Authority
from hosting.process import Child
from hosting.users import as_user, clean_environment
from hosting.wait import wait_for

SOCKET_PATH_MAX = 107
START_S = 60
PORTS = (10240, 32768)


def postgres_bin():
    """The newest server that is installed."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    versions = sorted(found, key=lambda path: int(re.sub(r"\D", "", path.parts[4]) or 0))
    if not versions:
        raise FileNotFoundError("no PostgreSQL server in /usr/lib/postgresql")
    return versions[-1].parent


def free_port():
    """A port of loopback that nothing listens on now, and that no outgoing
    connection is given before its server starts: below the kernel's own choice
    (ip_local_port_range), at random because of others who look for one, too."""
    while True:
        port = random.randrange(*PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def check_socket_path(path):
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise ValueError(f"too long for a unix socket ({SOCKET_PATH_MAX} bytes): {path}")
    return path


def run_as(user, argv, **options):
    return subprocess.run(
        as_user(user, argv), env=clean_environment(), cwd="/", text=True,
        stdin=subprocess.DEVNULL, capture_output=True, **options,
    )


class Postgres:
    """A cluster in `directory`/data, its socket in `directory`; with settings of
    its own, too ("port": 6543)."""

    DATABASE = "guestbook"
    AUTHENTICATION = "peer"

    def __init__(self, directory, user, settings=None):
        self.directory = Path(directory)
        self.user = user
        self.settings = {"listen_addresses": "", "fsync": "off", "shared_buffers": "16MB",
                         "port": 5432, **(settings or {})}
        self.bin = postgres_bin()
        self.data = self.directory / "data"
        self.socket = check_socket_path(self.directory / f".s.PGSQL.{self.settings['port']}")
        self.child = None

    @property
    def url(self):
        host = quote(str(self.directory), safe="")
        return f"postgresql://{quote(self.user.name)}@/{self.DATABASE}?host={host}"

    def create(self):
        """initdb, unless that was done in an earlier run."""
        if (self.data / "PG_VERSION").exists():
            return
        argv = [self.bin / "initdb", "-D", self.data, "-U", self.user.name, "-A", self.AUTHENTICATION,
                "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = run_as(self.user, argv)
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def start(self):
        self.create()
        argv = [self.bin / "postgres", "-D", self.data, "-k", self.directory]
        for name, value in self.settings.items():
            argv += ["-c", f"{name}={value}"]
        self.child = Child("postgres", argv, self.directory / "postgres.log", self.user,
                           death_signal="INT")
        wait_for(self.is_ready, START_S, "PostgreSQL answers")
        if not self.query("SELECT 1 FROM pg_database WHERE datname = 'guestbook'", "postgres"):
            self.query("CREATE DATABASE guestbook", "postgres")

    def is_ready(self):
        if self.child.code is not None:
            raise RuntimeError(f"PostgreSQL ended:\n{self.child.output()}")
        ask = run_as(self.user, [self.bin / "pg_isready", "-q", "-h", self.directory,
                                 "-p", self.settings["port"]])
        return ask.returncode == 0

    def query(self, sql, database=DATABASE):
        """Rows as lines, columns separated by |."""
        argv = [self.bin / "psql", "-X", "-At", "-v", "ON_ERROR_STOP=1",
                "-h", self.directory, "-p", self.settings["port"], "-d", database, "-c", sql]
        done = run_as(self.user, argv)
        if done.returncode != 0:
            raise RuntimeError(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def stop(self):
        if self.child is not None:
            # INT: "fast", which does not wait for the site's connections.
            self.child.stop(number=signal.SIGINT)
            self.child = None


class Redis:
    """A server on the socket `directory`/redis.sock and on no port."""

    def __init__(self, directory, user):
        self.directory = Path(directory)
        self.user = user
        self.socket = check_socket_path(self.directory / "redis.sock")
        self.child = None

    @property
    def url(self):
        return f"unix://{quote(str(self.socket))}?db=0"

    def start(self):
        argv = ["redis-server", "--port", "0", "--unixsocket", self.socket,
                "--unixsocketperm", "700", "--dir", self.directory,
                "--daemonize", "no", "--appendonly", "no"]
        self.child = Child("redis", argv, self.directory / "redis.log", self.user)
        wait_for(self.is_ready, START_S, "Redis answers")

    def is_ready(self):
        if self.child.code is not None:
            raise RuntimeError(f"Redis ended:\n{self.child.output()}")
        return self.command("PING") == "+PONG"

    def command(self, *words):
        """The first line of the answer, as Redis wrote it."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.socket))
            client.sendall((" ".join(words) + "\r\n").encode())
            return client.recv(4096).split(b"\r\n")[0].decode()

    def stop(self):
        if self.child is not None:
            self.child.stop()
            self.child = None


class Pebble:
    """Let's Encrypt's test server: asks for HTTP-01 challenges at `http_port` of
    `everybody`, where every name is found (pebble-challtestsrv answers for the
    DNS). Its own API is at `address` behind a certificate for `name` by an
    authority of its own; what it signs is to be verified by `certificate`,
    another one at each start."""

    def __init__(self, directory, http_port, name="localhost", address="127.0.0.1",
                 everybody="127.0.0.1", dns=None):
        self.directory = Path(directory)
        self.http_port = http_port
        self.name, self.address, self.everybody = name, address, everybody
        self.api, self.management, self.dns_management = (free_port() for _ in range(3))
        self.dns = dns or free_port()
        self.certificate = self.directory / "root.pem"
        self.authority = None
        self.children = []

    @property
    def url(self):
        return f"https://{self.name}:{self.api}/dir"

    def start(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(self.directory)
        self.authority.issue(self.directory / "api", [self.name, "localhost"])
        settings = {
            "listenAddress": f"{self.address}:{self.api}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.directory / "api/fullchain.pem"),
            "privateKey": str(self.directory / "api/privkey.pem"),
            "httpPort": self.http_port, "tlsPort": 1, "ocspResponderURL": "",
            "externalAccountBindingRequired": False, "certificateValidityPeriod": 86400 * 90,
        }
        (self.directory / "pebble.json").write_text(json.dumps({"pebble": settings}))
        self._run("pebble-challtestsrv", [
            "-defaultIPv4", self.everybody, "-defaultIPv6", "",
            "-dns01", f"{self.address}:{self.dns}",
            "-http01", "", "-https01", "", "-tlsalpn01", "",
            "-management", f"127.0.0.1:{self.dns_management}"])
        # No random waits; each order is challenged. No nonce is refused: the
        # certbot of Debian 12 ends with "can't set attribute" at some of them.
        self._run("pebble", [
            "-config", self.directory / "pebble.json", "-strict",
            "-dnsserver", f"{self.address}:{self.dns}"],
            PEBBLE_VA_NOSLEEP="1", PEBBLE_AUTHZREUSE="0", PEBBLE_WFE_NONCEREJECT="0")
        wait_for(self._read_root, START_S, "Pebble answers")

    def _run(self, name, argv, **env):
        self.children.append(Child(name, [f"/usr/bin/{name}", *argv],
                                   self.directory / f"{name}.log", env=clean_environment(**env)))

    def _read_root(self):
        for child in self.children:
            if child.code is not None:
                raise RuntimeError(f"{child.name} ended:\n{child.output()}")
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        url = f"https://localhost:{self.management}/roots/0"
        with urlopen(url, timeout=10, context=context) as answer:
            self.certificate.write_bytes(answer.read())
        return True

    def stop(self):
        for child in reversed(self.children):
            child.stop()
        self.children = []
