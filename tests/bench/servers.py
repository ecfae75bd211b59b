"""The servers that are compared, each started by one class and stopped by stop().

All serve bench.localhost. `pids()` are all processes of a server; `http` and
`https` its ports on loopback.
"""

import os
import shutil
import socket
from pathlib import Path

from hosting import users, venv
from hosting.host import Host, free_port
from hosting.process import Child
from hosting.site import make_directory
from hosting.wait import wait_for
from machine import tree

HERE = Path(__file__).resolve().parent
DOMAIN = "bench.localhost"
SOON_S = 60
ON_CPU_0 = ("taskset", "-c", "0")
ON_CPU_1 = ("taskset", "-c", "1")

# The proxy's site: its one worker is bench_backend, which nobody supervises.
PROXY_YAML = """\
site: {domain}
user: {user}
http: serve
workers:
  - {{name: web, command: [unused], slots: 512}}
routes:
  - {{path: /, pool: web}}
"""

MIX_YAML = """\
site: {domain}
user: {user}
http: serve
health: {{path: /version}}
workers:
  - {{name: web, wsgi: app:application, count: 3, timeout: 30s}}
routes:
  - {{path: /, pool: web}}
"""


def answers(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def fill(template, target, **values):
    """A file of peers/ with its @NAMES@ replaced."""
    text = (HERE / "peers" / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    target.write_text(text)
    return target


class PinnedHost(Host):
    """amy's daemons, with everything below them on CPU 0."""

    def daemon(self, name):
        child = super().daemon(name)
        os.sched_setaffinity(child.pid, {0})
        return child


class Amy:
    name = "amy-front"

    def __init__(self, root, yaml=PROXY_YAML, host_class=PinnedHost):
        self.host = host_class(root, processes=1)
        self.site = self.host.site(DOMAIN)
        self.site.write_yaml(yaml.format(domain=DOMAIN, user=self.host.user.name))
        self.http, self.https = self.host.http, self.host.https

    def start(self):
        self.host.start_front()
        return self

    def pids(self):
        daemons = [self.host.front, self.host.workers]
        return [pid for daemon in daemons if daemon is not None for pid in tree(daemon.pid)]

    def stop(self):
        self.host.stop()


class AmyWithGunicorn(Amy):
    """amy-front, amy-workers and three gunicorn workers."""

    name = "amy"

    def __init__(self, root, base_venv):
        super().__init__(root, MIX_YAML, Host)
        lay_out_application(self.site.repo)
        venv.build_over(self.site.venv, base_venv)
        self.site.write_postactivate({})
        self.repo = self.site.repo

    def start(self):
        self.host.start_workers()
        return super().start()


class Peer:
    """A program with a file of peers/ as its configuration."""

    command = ()
    template = ""

    def __init__(self, directory, wrapper=ON_CPU_0, **values):
        self.directory, self.wrapper = Path(directory), wrapper
        self.http, self.https = free_port(), free_port()
        self.file = fill(self.template, self.directory / self.template, DIR=self.directory,
                         USER="user root;" if users.is_root() else "", HTTP=self.http,
                         HTTPS=self.https, **values)

    def start(self):
        argv = [*self.wrapper, *self.command, self.file]
        self.process = Child(self.name, argv, self.directory / f"{self.name}.log")
        wait_for(lambda: answers(self.http), SOON_S, f"{self.name} listens")
        return self

    def pids(self):
        return tree(self.process.pid)

    def stop(self):
        self.process.stop()


class Nginx(Peer):
    name, template, command = "nginx", "nginx.conf", ("nginx", "-c")


class Haproxy(Peer):
    """Writes a line of log for each request, as it has no buffer for them."""

    name, template, command = "haproxy", "haproxy.cfg", ("haproxy", "-f")


class NginxWithGunicorn(Peer):
    """As most hosts have it: nginx before one unix socket on which gunicorn's
    three workers accept."""

    name, template, command = "nginx+gunicorn", "nginx-gunicorn.conf", ("nginx", "-c")

    def __init__(self, directory, base_venv):
        self.directory, self.user = Path(directory), users.site_user()
        self.repo = self.directory / "repo"
        make_directory(self.directory)
        lay_out_application(self.repo)
        venv.build_over(self.repo / ".venv", base_venv)
        sockets = self.directory / "sockets"
        make_directory(sockets, 0o755, self.user)
        self.socket = sockets / "gunicorn.sock"
        super().__init__(directory, wrapper=(), SOCKET=self.socket)

    def start(self):
        self.start_gunicorn()
        return super().start()

    def start_gunicorn(self):
        self.gunicorn = Child(
            "gunicorn", [self.repo / ".venv/bin/gunicorn", "--workers=3", "--timeout=30",
                         f"--bind=unix:{self.socket}", "--umask=0", "--worker-tmp-dir=/dev/shm",
                         "app:application"],
            self.directory / "gunicorn.log", user=self.user, cwd=self.repo)
        wait_for(lambda: connects(self.socket), SOON_S, "gunicorn listens")

    def pids(self):
        return [*super().pids(), *tree(self.gunicorn.pid)]

    def stop(self):
        super().stop()
        self.gunicorn.stop()


def connects(path):
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return True


def lay_out_application(repo):
    make_directory(repo)
    shutil.copy(HERE / "app/app.py", repo / "app.py")
    release(repo, "one")


def release(repo, version):
    """The code is replaced in place, as `git pull` does."""
    new = repo / "VERSION.new"
    new.write_text(version)
    new.chmod(0o644)
    new.rename(repo / "VERSION")
