"""`socket:`, a listener that a pool's workers share for strangers: an nginx as it
is found everywhere, in front of amy-workers. One listener over all workers,
generations and reloads.
"""

import grp
import json
import os
import shutil
import socket
import stat
import threading

import pytest
from hosting import users, walk
from hosting.host import connect_unix, free_port
from hosting.process import Child
from hosting.rawhttp import Broken, Connection
from hosting.site import copy_file, make_directory
from hosting.wait import wait_for
from support import HERE, TINY, deploy_tiny

SOON_S = 30
YAML = """\
site: {{domain}}
user: {{user}}
http: serve
health: {{{{bake: 300ms}}}}
workers:
  - {{{{name: web, wsgi: tiny:application, count: {count}, timeout: 30s, socket: {socket}}}}}
gate: {{{{except: [/healthz]}}}}
"""
# As in gunicorn's own documentation.
NGINX = """\
{user}
daemon off;
pid {root}/nginx.pid;
error_log {root}/nginx-error.log;
events {{ worker_connections 1024; accept_mutex on; }}
http {{
  access_log off;
  client_body_temp_path {root}/nginx-body; proxy_temp_path {root}/nginx-proxy;
  fastcgi_temp_path {root}/nginx-f; uwsgi_temp_path {root}/nginx-u; scgi_temp_path {root}/nginx-s;
  upstream app_server {{
    server unix:{socket} fail_timeout=0;
  }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 4G;
    server_name {domain};
    keepalive_timeout 5;
    location / {{
      try_files $uri @proxy_to_app;
    }}
    location @proxy_to_app {{
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Host $http_host;
      proxy_redirect off;
      proxy_pass http://app_server;
    }}
  }}
}}
"""


class Strangers:
    """A site whose workers listen for an nginx, too."""

    def __init__(self, host, base_venv, path, count=2, key="{path}"):
        self.host = host
        self.path = str(path)
        self.port = free_port()
        self.nginx = None
        self.yaml = YAML.format(count=count, socket=key.format(path=path))
        self.site = deploy_tiny(host, TINY, base_venv, self.yaml)

    def start_nginx(self):
        root = self.host.root / "nginx"
        make_directory(root)
        user = "user www-data;" if users.is_root() else ""
        config = root / "nginx.conf"
        config.write_text(NGINX.format(root=root, socket=self.path, port=self.port, user=user,
                                       domain=TINY))
        self.nginx = Child("nginx", [shutil.which("nginx") or "/usr/sbin/nginx", "-e",
                                     root / "nginx-error.log", "-c", config], root / "nginx.log")
        wait_for(self.knock, SOON_S, "nginx listens")
        return self

    def knock(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=SOON_S):
            return True

    def get(self, path="/"):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=SOON_S)
        with Connection(raw) as connection:
            connection.request("GET", path, {"Host": TINY, "Connection": "close"})
            return connection.read_response()

    def ask(self, path="/healthz"):
        """Without nginx, over the socket itself."""
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(SOON_S)
        with Connection(raw) as connection:
            raw.connect(self.path)
            connection.request("GET", path, {"Host": TINY, "Connection": "close"})
            return connection.read_response()


@pytest.fixture
def strangers(new_host, django_venv):
    made = []

    def new(where="sockets/web.sock", **options):
        host = new_host()
        one = Strangers(host, django_venv, host.root / where.format(site=TINY), **options)
        made.append(one)
        return one

    yield new
    for one in made:
        if one.nginx is not None:
            one.nginx.stop()


def pids(one):
    return {worker["pid"] for worker in
            walk.site_parts(one.host.status(), TINY)["pools"][0]["workers"]}


def problem(one):
    """What the supervisor says is wrong; "" while it says nothing at all."""
    report = one.host.daemon_status("workers")
    return json.dumps(report["sites"]) if report else ""


# ---- an untouched nginx


@pytest.mark.parametrize("where", ["sockets/web.sock", "run/{site}/web.sock"])
def test_nginx_in_front_of_the_workers(strangers, where):
    one = strangers(where)
    one.host.start_workers()
    one.start_nginx()
    assert one.get("/healthz").status == 200
    one.host.start_front()
    assert one.host.get(TINY, tls=False).status == 200, "amy-front is served beside it"
    assert one.get("/healthz").status == 200


class Visitors:
    """Ask one after the other, several at once, and count what is no 200."""

    def __init__(self, one):
        self.one = one
        self.asked = 0
        self.lost = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(4)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.more(20)
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(SOON_S)

    def _run(self):
        while not self.over.is_set():
            try:
                status = self.one.get("/healthz").status
            except (Broken, OSError) as error:
                status = error
            self.asked += 1
            if status != 200:
                self.lost.append(status)

    def more(self, count):
        goal = self.asked + count
        wait_for(lambda: self.asked >= goal, SOON_S, "visitors are served")


def test_reloads_lose_nobody_in_the_queue(strangers):
    one = strangers()
    one.host.start_workers()
    one.start_nginx()
    inode = os.stat(one.path).st_ino
    before = pids(one)
    with Visitors(one) as visitors:
        for _ in range(3):
            one.host.amyctl("reload", TINY)
            visitors.more(20)
    assert not visitors.lost, visitors.lost[:5]
    assert not pids(one) & before, "the workers are others"
    assert os.stat(one.path).st_ino == inode, "the listener is the same"


def test_who_comes_while_there_is_no_worker_waits_for_the_next(strangers):
    one = strangers(count=1)
    one.host.start_workers()
    one.start_nginx()
    for pid in pids(one):
        os.killpg(pid, 9)  # its arbiter alone leaves a child that accepts one more
    assert one.get("/healthz").status == 200


# ---- the file


def test_it_is_there_with_the_pool_and_goes_with_it(strangers):
    one = strangers()
    one.host.start_workers()
    assert one.ask().status == 200
    assert stat.S_IMODE(os.stat(one.path).st_mode) == 0o666
    one.site.write_yaml(one.yaml.replace(f", socket: {one.path}", "").format(
        domain=TINY, user=one.host.user.name))
    one.host.amyctl("reload", TINY)
    wait_for(lambda: not os.path.exists(one.path), SOON_S, "it goes with its last pool")
    one.site.write_yaml(one.yaml.format(domain=TINY, user=one.host.user.name))
    one.host.amyctl("reload", TINY)
    assert one.ask().status == 200
    one.host.stop()
    assert not os.path.exists(one.path)


def test_stale_file_of_a_dead_supervisor_is_replaced(strangers):
    one = strangers()
    one.host.start_workers()
    before = pids(one)
    one.host.workers.kill()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before), SOON_S, "all died")
    assert os.path.exists(one.path)
    one.host.start_workers()
    wait_for(lambda: one.ask().status == 200, SOON_S, "a new listener answers")


def test_unlinked_by_somebody_it_is_made_again(strangers):
    one = strangers()
    one.host.start_workers()
    os.unlink(one.path)
    one.host.amyctl("reload", TINY)
    assert one.ask().status == 200


def test_listener_of_somebody_else_is_refused_and_waited_for(strangers):
    one = strangers()
    make_directory(one.host.root / "sockets")
    with socket.socket(socket.AF_UNIX) as other:
        connect = one.host.root / "sockets" / "web.sock"
        at = os.open(connect.parent, os.O_PATH | os.O_DIRECTORY)
        other.bind(f"/proc/self/fd/{at}/web.sock")
        os.close(at)
        other.listen(8)
        one.host.start_workers(ready=False)
        wait_for(lambda: "another process" in problem(one), SOON_S, "status says why")
        inode = os.stat(one.path).st_ino
    assert os.stat(one.path).st_ino == inode, "it was left alone"
    wait_for(lambda: one.ask().status == 200, SOON_S, "free now, it is taken")


def test_reload_onto_an_occupied_path_keeps_what_serves(strangers):
    one = strangers()
    one.host.start_workers()
    before = pids(one)
    taken = one.host.root / "taken"
    taken.write_text("not yours")
    one.site.write_yaml(one.yaml.replace(one.path, str(taken)).format(
        domain=TINY, user=one.host.user.name))
    reloaded = one.host.amyctl("reload", TINY, check=False)
    assert reloaded.returncode == 1 and "no socket" in reloaded.stdout + reloaded.stderr
    assert taken.read_text() == "not yours"
    assert pids(one) == before and one.ask().status == 200


@pytest.mark.root
def test_directory_of_the_sites_user_is_refused(strangers):
    one = strangers("theirs/web.sock")
    make_directory(one.host.root / "theirs", 0o755, one.host.user)
    one.host.start_workers(ready=False)
    wait_for(lambda: "theirs" in problem(one), SOON_S, "status says where")
    assert not os.path.exists(one.path)


@pytest.mark.root
def test_group_alone_may_connect(strangers):
    one = strangers(key="{{{{path: {path}, group: www-data}}}}")
    one.host.start_workers()
    found = os.stat(one.path)
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid == grp.getgrnam("www-data").gr_gid
    one.start_nginx()
    assert one.get("/healthz").status == 200


@pytest.mark.root
def test_who_may_connect_changes_with_the_release_that_serves(strangers):
    one = strangers(key="{{{{path: {path}, group: www-data}}}}")
    one.host.start_workers()
    to_all = one.yaml.replace(", group: www-data", "")
    one.site.write_yaml(to_all.replace("tiny:application", "no_such:application").format(
        domain=TINY, user=one.host.user.name))
    assert one.host.amyctl("reload", TINY, check=False).returncode == 1
    assert stat.S_IMODE(os.stat(one.path).st_mode) == 0o660, "it was refused"
    one.site.write_yaml(to_all.format(domain=TINY, user=one.host.user.name))
    one.host.amyctl("reload", TINY)
    assert stat.S_IMODE(os.stat(one.path).st_mode) == 0o666


def test_command_has_it_behind_its_own(new_host, django_venv):
    """LISTEN_FDS and LISTEN_FDNAMES, as any server that knows systemd reads them."""
    host = new_host()
    path = host.root / "sockets" / "echo.sock"
    site = deploy_tiny(host, TINY, django_venv, f"""\
site: {{domain}}
user: {{user}}
http: serve
workers:
  - {{{{name: web, command: [python, both.py], slots: 100, socket: {path}}}}}
""")
    copy_file(HERE / "apps" / "both.py", site.repo / "both.py")
    host.start_workers()
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(SOON_S)
        connect_unix(raw, path)
        with Connection(raw) as connection:
            connection.request("GET", "/", {"Host": TINY})
            assert connection.read_response().text == "2 web:shared"
