"""Logs of real programs that open them anew by themselves or are told to: Python's
WatchedFileHandler, nginx. And who is never told. promises/logs.md 4."""

import os
import shutil
import socket
import subprocess

import pytest
from hosting.host import connect_unix
from hosting.process import Child
from hosting.rawhttp import Connection
from hosting.site import make_directory
from hosting.users import User, as_user
from hosting.wait import wait_for
from scripted import SOON_S
from support import TINY, deploy_tiny
from test_logrotate import all_packed, old_files, read_all

SIZE = 65536
ROTATIONS = 3
WRITERS = 2
PADDING = "x" * 500
YAML = """\
site: {domain}
user: {user}
workers:
  - {{name: web, wsgi: tiny:application, count: 1}}
  - {{name: watched, command: [python, watched.py], count: 2}}
logs:
  size: 64KiB
  every: never
  files:
    - {{path: django.log}}
    - {{path: nginx.log, signal: USR1, pid_file: logs/nginx.pid}}
    - {{path: roots.log, signal: TERM, pid_file: logs/roots.pid}}
    - {{path: others.log, signal: TERM, pid_file: logs/others.pid}}
"""
# Until the file `enough` is there; then it lets go of its log, and tells how many
# lines it wrote.
WATCHED = """\
import logging, logging.handlers, os, time
logging.basicConfig(level="INFO", format="%(process)d %(message)s",
                    handlers=[logging.handlers.WatchedFileHandler("../logs/django.log")])
n = 0
while not os.path.exists("../logs/enough"):
    logging.info("%d %s", n, "x" * 500)
    n += 1
    time.sleep(0.001)
logging.shutdown()
with open(f"../logs/written.{os.getpid()}.tmp", "w") as file:
    file.write(str(n))
os.rename(file.name, f"../logs/written.{os.getpid()}")
time.sleep(9999)
"""
NGINX = """\
daemon off;
worker_processes 2;
pid {logs}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log {logs}/nginx.log;
  client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
  keepalive_requests 1000000;
  server {{ listen unix:{root}/socket; return 204; }}
}}
"""


@pytest.fixture(scope="module")
def foreign(host_for_module, django_venv):
    host = host_for_module
    host.tiny = deploy_tiny(host, TINY, django_venv, YAML)
    (host.tiny.repo / "watched.py").write_text(WATCHED)
    (host.tiny.repo / "watched.py").chmod(0o644)
    host.start_workers()
    return host


@pytest.fixture
def nginx(foreign):
    """As the site's user, who may be signalled, on a socket."""
    root = foreign.root / "nginx"
    make_directory(root, 0o755, foreign.user)
    config = root / "nginx.conf"
    config.write_text(NGINX.format(root=root, logs=foreign.tiny.logs))
    config.chmod(0o644)
    child = Child("nginx", [shutil.which("nginx") or "/usr/sbin/nginx", "-e", root / "error.log",
                            "-c", config], root / "out.log", user=foreign.user)

    def connect():
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(SOON_S)
        connect_unix(raw, root / "socket")
        return raw

    try:
        with Connection(wait_for(connect, SOON_S, "nginx listens")) as connection:
            yield connection
    finally:
        child.stop()


def is_rotated(logs, name):
    return len(old_files(logs, name)) >= ROTATIONS


def is_settled(logs, name):
    """What was due is rotated, and all that was rotated is packed."""
    current = logs / name
    return (not current.exists() or current.stat().st_size < SIZE) and all_packed(logs, name)


def test_programs_that_open_their_logs_anew_lose_no_line(foreign, nginx):
    logs = foreign.tiny.logs
    asked = 0
    while not (is_rotated(logs, "nginx.log") and is_rotated(logs, "django.log")):
        nginx.request("GET", f"/{asked}-{PADDING}", {"Host": TINY})
        assert nginx.read_response().status == 204
        asked += 1
        assert asked < 200_000, "they are not rotated"
    (logs / "enough").touch()
    written = wait_for(lambda: len(found := list(logs.glob("written.*[0-9]"))) == WRITERS and found,
                       SOON_S, "both have told what they wrote")
    wait_for(lambda: len(read_all(logs, "nginx.log")) >= asked, SOON_S, "the last line of nginx")
    for name in ("nginx.log", "django.log"):
        wait_for(lambda: is_settled(logs, name), SOON_S, f"old ones of {name} are packed")  # noqa: B023
    numbers = [line.split('"GET /')[1].split("-")[0] for line in read_all(logs, "nginx.log")]
    assert numbers == [str(n) for n in range(asked)]
    lines = [line.split() for line in read_all(logs, "django.log")]
    for file in written:
        process = file.name.rpartition(".")[2]
        mine = [number for pid, number, _ in lines if pid == process]
        assert mine == [str(n) for n in range(int(file.read_text()))]
    assert "stays plain" not in (foreign.root / "amy-workers.log").read_text()


@pytest.mark.root
def test_a_pid_file_does_not_lend_the_right_to_signal_others(foreign):
    """The site's user names a process of root's and one of another user's: they
    live on, and that is told."""
    logs = foreign.tiny.logs
    victims = {name: subprocess.Popen(as_user(user, ["sleep", "600"]))
               for name, user in (("roots", None), ("others", User.named("nobody")))}
    try:
        for name, victim in victims.items():
            for file, text in (("pid", f"{victim.pid}\n"), ("log", "a line\n" * 10000)):
                (logs / f"{name}.{file}").touch()
                os.chown(logs / f"{name}.{file}", foreign.user.uid, foreign.user.gid)
                (logs / f"{name}.{file}").write_text(text)
        for name, victim in victims.items():
            wait_for(lambda: f"process {victim.pid} is not of the site's user"  # noqa: B023
                     in (foreign.root / "amy-workers.log").read_text(), SOON_S, f"{name} is told of")
            assert victim.poll() is None
    finally:
        for victim in victims.values():
            victim.kill()
            victim.wait()
