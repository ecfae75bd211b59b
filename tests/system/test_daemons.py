"""What every daemon does: arguments, sd_notify, signals, duty as PID 1."""

import errno
import os
import re
import signal
import socket

import pytest
from hosting import walk
from hosting.host import binaries
from hosting.process import Child
from hosting.users import clean_environment
from hosting.wait import wait_for
from support import (BEAT_WORKER, TINY, TINY_YAML, add_to_workers, children_of, deploy_tiny,
                     open_files, processes, stat_fields)

SOON_S = 30
DAEMONS = ("amy-front", "amy-workers")


def run(tmp_path, name, *arguments):
    child = Child(name, [binaries() / name, *arguments], tmp_path / "output")
    return child.wait(SOON_S), child.output()


@pytest.mark.parametrize("name", [*DAEMONS, "amyctl"])
def test_help_and_version(tmp_path, name):
    code, output = run(tmp_path, name, "--help")
    assert code == 0
    for option in ("--config", "--webapps", "--run", "--state", "--version"):
        assert option in output
    code, output = run(tmp_path, name, "--version")
    assert code == 0 and re.search(rf"{name}.* \d+\.\d+\.\d+", output), output


@pytest.mark.parametrize("name", [*DAEMONS, "amyctl"])
def test_unknown_option_is_a_usage_error(tmp_path, name):
    code, output = run(tmp_path, name, "--no-such-option")
    assert code == 2 and "no-such-option" in output


class Manager:
    """The other end of sd_notify(3)."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o777)
        self.socket.setblocking(False)
        self.lines = []

    def heard(self, line):
        try:
            while True:
                self.lines += self.socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            pass
        return any(one.startswith(line) for one in self.lines)


def start_notified(host, name, manager):
    env = clean_environment(NOTIFY_SOCKET=str(manager.path))
    return Child(name, [binaries() / name, *host.options()], host.root / f"{name}.log", env=env)


@pytest.mark.parametrize("name", DAEMONS)
def test_tells_systemd_what_it_does(tiny, name):
    manager = Manager(tiny.root / "n")
    child = start_notified(tiny, name, manager)
    setattr(tiny, name.removeprefix("amy-"), child)
    wait_for(lambda: manager.heard("READY=1"), SOON_S, "ready")
    manager.lines.clear()
    child.send(signal.SIGHUP)
    wait_for(lambda: manager.heard("RELOADING=1") and manager.heard("READY=1"), SOON_S, "reloaded")
    child.send(signal.SIGTERM)
    wait_for(lambda: manager.heard("STOPPING=1"), SOON_S, "stopping")
    assert child.wait(SOON_S) == 0
    manager.socket.close()


def test_workers_do_not_speak_to_systemd_in_the_daemons_name(tiny):
    manager = Manager(tiny.root / "n")
    tiny.workers = start_notified(tiny, "amy-workers", manager)
    wait_for(tiny.workers_are_ready, SOON_S, "all workers are ready")
    for worker in walk.workers_of(tiny.status(), TINY, "web"):
        with open(f"/proc/{worker['pid']}/environ", "rb") as file:
            assert str(manager.path).encode() not in file.read()
    manager.socket.close()


@pytest.mark.parametrize("name", DAEMONS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stops_with_0_on_signals(tiny, name, number):
    tiny.start_workers()
    tiny.start_front()
    child = getattr(tiny, name.removeprefix("amy-"))
    child.send(number)
    assert child.wait(SOON_S) == 0
    setattr(tiny, name.removeprefix("amy-"), None)


@pytest.mark.parametrize("name", DAEMONS)
def test_second_one_says_where_the_first_runs(running, name):
    """Also with addresses of its own: two cannot share a run directory."""
    def second():
        child = Child(name, [binaries() / name, *running.options()], running.root / "second.log")
        return child.wait(SOON_S), child.output()

    wanted = f"'{running.run}': another {name} runs here already"
    code, output = second()
    assert code == 1 and wanted in output, output
    running.write_settings(http=["127.0.0.1:0"], https=[])
    code, output = second()
    assert code == 1 and wanted in output, output
    assert running.get(TINY, tls=False).status == 200, "the first is as before"
    assert running.status()


def test_master_watches_all_gates_with_one_inotify(new_host):
    """A user may have 128 instances (fs.inotify.max_user_instances)."""
    def instances(host):
        return list(open_files(host.front.pid).values()).count("anon_inode:inotify")

    counted = []
    for sites in (1, 3):
        host = new_host()
        for number in range(sites):
            site = host.site(f"s{number}.localhost")
            site.write_yaml(f"site: {site.domain}\nuser: {host.user.name}\nhttp: serve\n")
        host.start_front()
        counted.append(instances(host))
        (site.directory / "maintenance_on.html").write_text("closed")
        wait_for(lambda: host.get(site.domain, tls=False).status == 503, SOON_S, "the last closes")
    assert counted[0] == counted[1] <= 4, "gates, certificates, sockets of workers, logs"


def test_front_drains(running):
    """SIGTERM: what is under way is answered, nobody new is let in."""
    with running.connect(TINY, tls=False) as connection:
        connection.request("GET", "/slow?s=3", {"Host": TINY})
        wait_for(lambda: walk.site_parts(running.status(), TINY)["slots"]["web"]["busy"] == 1,
                 SOON_S, "the request has its slot")
        running.front.send(signal.SIGTERM)
        wait_for(lambda: is_refused(running.http), SOON_S, "who comes now is not left waiting")
        answer = connection.read_response()
        assert answer.status == 200
    assert running.front.wait(SOON_S) == 0
    running.front = None


def is_refused(port):
    with socket.socket() as raw:
        return raw.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_workers_drain(running):
    with running.connect(TINY, tls=False) as connection:
        connection.request("GET", "/slow?s=2", {"Host": TINY})
        wait_for(lambda: walk.site_parts(running.status(), TINY)["slots"]["web"]["busy"] == 1,
                 SOON_S, "the request has its slot")
        running.workers.send(signal.SIGTERM)
        assert connection.read_response().status == 200
    assert running.workers.wait(SOON_S) == 0
    running.workers = None


@pytest.mark.root
def test_pid_1_reaps_strangers_and_forwards_signals(new_host, django_venv):
    host = new_host()
    site = deploy_tiny(host, TINY, django_venv, add_to_workers(TINY_YAML, BEAT_WORKER))
    # The beat leaves an orphan behind that ends at once: a stranger for PID 1.
    beat = site.repo / "beat.py"
    beat.write_text("import os\nif os.fork() == 0:\n    if os.fork() == 0:\n"
                    "        os.execvp('sleep', ['sleep', '0.1'])\n    os._exit(0)\n"
                    "os.wait()\n" + beat.read_text())
    argv = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
            binaries() / "amy-workers", *host.options()]
    outer = Child("amy-workers", argv, host.root / "amy-workers.log")
    try:
        wait_for(lambda: host.workers_are_ready(outer), SOON_S, "all workers are ready")
        first = child_of(outer.pid)
        wait_for(lambda: not zombies_below(first), SOON_S, "no zombies")
        # As `docker stop` does: to PID 1 of the namespace.
        os.kill(first, signal.SIGTERM)
        assert outer.wait(SOON_S) == 0
    finally:
        if outer.code is None:
            outer.kill()


def child_of(pid):
    return wait_for(lambda: children_of(pid), SOON_S, "a child")[0]


def zombies_below(pid):
    parents = {one: stat_fields(one) for one in processes()}
    return [one for one, fields in parents.items()
            if fields and fields[0] == "Z" and is_below(parents, one, pid)]


def is_below(parents, one, top):
    while one > 1 and parents.get(one):
        one = int(parents[one][1])
        if one == top:
            return True
    return False
