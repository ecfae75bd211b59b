"""Logs are rotated while they are written: by amy-front under load, by
amy-workers under a flood of output. promises/logs.md 1, 3, 4, 8."""

import gzip
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from hosting.wait import wait_for
from scripted import SOON_S
from support import TINY, deploy_tiny
from test_metrics import metrics, value

SITE = "files.localhost"
YAML = """\
site: {domain}
user: {user}
http: serve
routes:
  - {{path: /static/, files: static}}
logs: {{size: 64KiB, every: never}}
"""
CLIENTS = 4
FLUSH_S = 1  # as docs/logs.md says
ROTATIONS = 4
PADDING = "x" * 3000
STAMPED = re.compile(r"-(\d{8}T\d{6}Z)(?:-(\d+))?(?:\.gz)?$")

FLOOD_LINES = 20000
FLOOD = f"import time; [print('flood', n, 'x' * 40, flush=True) for n in range({FLOOD_LINES})]; time.sleep(9999)"
FLOOD_YAML = """\
site: {domain}
user: {user}
workers:
  - {{name: web, wsgi: tiny:application, count: 1}}
  - {{name: flood, command: [python, -c, "FLOOD"]}}
logs: {{size: 64KiB, every: never}}
""".replace("FLOOD", FLOOD)


@pytest.fixture(scope="module")
def files(host_for_module):
    host = host_for_module
    site = host.site(SITE)
    static = site.directory / "static"
    static.mkdir()
    static.chmod(0o755)
    (static / "a.txt").write_text("a")
    (static / "a.txt").chmod(0o644)
    site.write_yaml(YAML.format(domain=SITE, user=host.user.name))
    host.start_front()
    return host


def old_files(logs, name):
    """By time, then by sequence."""
    found = [(match.group(1), int(match.group(2) or 1), file) for file in logs.iterdir()
             if file.name.startswith(f"{name}-") and (match := STAMPED.search(file.name))]
    return [file for _, _, file in sorted(found)]


def read_all(logs, name):
    """Every line of the log: of the old files in their order, then of the
    present one; without the beginning of one whose write is half seen."""
    text = b""
    present = [logs / name] if (logs / name).exists() else []
    for file in [*old_files(logs, name), *present]:
        text += gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return text.decode().split("\n")[:-1]


def all_packed(logs, name):
    return all(file.suffix == ".gz" for file in old_files(logs, name))


def logs_of(host, daemon, domain):
    sites = host.daemon_status(daemon)["sites"]
    return next(site["logs"] for site in sites if site["site"] == domain)


class Visitors:
    """Some that ask and ask, and count what was answered."""

    def __init__(self, host):
        self.host = host
        self.answered = []
        self.failed = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.visit, args=[n]) for n in range(CLIENTS)]

    def visit(self, client):
        connection = self.host.connect(tls=False)
        number = turn = 0
        while not self.over.is_set():
            mark = f"m{client}.{turn}-{number}-"
            connection.request("GET", f"/static/a.txt?{mark}{PADDING}", {"Host": SITE})
            answer = connection.read_response("GET")
            (self.answered if answer.status == 200 else self.failed).append(mark)
            number += 1
            if answer.get("connection") == "close":
                connection = self.host.connect(tls=False)
                turn += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_under_load_every_request_has_one_line(files):
    logs = files.sites[SITE].logs
    bundles = [process["bundle"] for process in files.daemon_status("front")["processes"]]
    with Visitors(files) as visitors:
        wait_for(lambda: logs_of(files, "front", SITE)["rotations"] >= ROTATIONS, 60,
                 "the log is rotated again and again")
    assert not visitors.failed
    wait_for(lambda: len(read_all(logs, "access.log")) >= len(visitors.answered), SOON_S,
             "the last lines are written")
    wait_for(lambda: all_packed(logs, "access.log"), SOON_S, "all old ones are packed")
    marks = [re.search(r"\?(m\d+\.\d+-\d+-)x{3000} ", line).group(1)
             for line in read_all(logs, "access.log")]
    assert len(marks) == len(set(marks))
    assert set(marks) == set(visitors.answered)
    # The lines of a connection, which one process writes, are in their order.
    last = {}
    for connection, number in (mark.split("-")[:2] for mark in marks):
        assert int(number) > last.get(connection, -1)
        last[connection] = int(number)
    report = logs_of(files, "front", SITE)
    assert report["problem"] == ""
    assert report["packed"] >= ROTATIONS
    figures = metrics(files)
    assert value(figures, "amy_logs_rotations_total", site=SITE) >= ROTATIONS
    wait_for(lambda: value(metrics(files), "amy_logs_bytes", site=SITE) == sum(
        file.stat().st_size for file in logs.iterdir()), SOON_S, "what is there is counted")
    assert value(figures, "amy_logs_trouble", site=SITE) == 0
    assert value(figures, "amy_logs_lines_lost_total", site=SITE) == 0
    # Handed out, not reloaded.
    assert bundles == [process["bundle"]
                       for process in files.daemon_status("front")["processes"]]


def test_a_line_waits_a_second_at_most(files):
    """So a kill -9 loses no more. Tenfold, for a busy machine."""
    assert files.get(SITE, "/static/a.txt?soon", tls=False).status == 200
    wait_for(lambda: "?soon" in (files.sites[SITE].logs / "access.log").read_text(), 10 * FLUSH_S,
             "it is written")


def test_a_log_that_was_moved_away_is_made_again(files):
    logs = files.sites[SITE].logs
    (logs / "access.log").rename(logs / "access.log.by-hand")
    wait_for(lambda: (logs / "access.log").exists(), SOON_S, "there is a new one")
    wait_for(lambda: (files.get(SITE, "/static/a.txt?after", tls=False).status == 200
                      and "?after" in (logs / "access.log").read_text()),
             SOON_S, "it is written")
    assert (logs / "access.log.by-hand").exists()


@pytest.mark.root
def test_rotated_files_are_the_users(files):
    logs = files.sites[SITE].logs
    for file in [logs / "access.log", *old_files(logs, "access.log")]:
        assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (files.user.uid, 0o640)


def test_a_link_in_place_of_the_log_is_not_followed(files):
    logs = files.sites[SITE].logs
    target = files.root / "target"
    target.write_text("")
    target.chmod(0o666)
    (logs / "trap").symlink_to(target)
    (logs / "trap").rename(logs / "error.log")
    wait_for(lambda: "not a regular file" in logs_of(files, "front", SITE)["problem"], SOON_S,
             "the status says so")
    assert files.get(SITE, "/static/a.txt", tls=False).status == 200
    (logs / "error.log").unlink()
    wait_for(lambda: logs_of(files, "front", SITE)["problem"] == "", SOON_S, "it is mended")
    assert target.read_text() == ""
    assert (logs / "error.log").is_file()


def test_output_of_workers_is_rotated_without_a_gap(new_host, django_venv):
    host = new_host()
    site = deploy_tiny(host, TINY, django_venv, FLOOD_YAML)
    host.start_workers()
    wait_for(lambda: f"flood {FLOOD_LINES - 1} " in (site.logs / "gunicorn_supervisor.log").read_text()
             or any(f"flood {FLOOD_LINES - 1} " in line
                    for line in read_all(site.logs, "gunicorn_supervisor.log")),
             60, "all of it is written")
    wait_for(lambda: logs_of(host, "workers", TINY)["rotations"] >= 1, SOON_S, "it is rotated")
    wait_for(lambda: all_packed(site.logs, "gunicorn_supervisor.log"), SOON_S, "and packed")
    numbers = [int(match.group(1)) for line in read_all(site.logs, "gunicorn_supervisor.log")
               if (match := re.search(r"\] flood (\d+) x{40}$", line))]
    assert numbers == list(range(FLOOD_LINES))


def test_backup_log_is_rotated_by_its_name(files):
    logs = files.sites[SITE].logs
    text = "2026-11-26T00:00:00.000Z a line of a job\n" * 2000
    (logs / "backup.log").write_text(text)
    os.chown(logs / "backup.log", files.user.uid, files.user.gid)
    files.start_backup()
    wait_for(lambda: old_files(logs, "backup.log") and all_packed(logs, "backup.log"), SOON_S,
             "it is rotated and packed")
    assert gzip.decompress(old_files(logs, "backup.log")[0].read_bytes()).decode() == text
    report = logs_of(files, "backup", SITE)
    assert (report["rotations"], report["problem"]) == (1, "")


FOREIGN_LINES = 3000
FOREIGN = """\
import os, signal, time
log = open("../logs/app.log", "a", buffering=1)
def reopen(*_):
    global log
    log = open("../logs/app.log", "a", buffering=1)
signal.signal(signal.SIGUSR1, reopen)
open("../logs/app.pid", "w").write(f"{os.getpid()}\\n")
for n in range(%d):
    log.write(f"line {n} " + "x" * 100 + "\\n")
    time.sleep(0.001)
time.sleep(9999)
""" % FOREIGN_LINES
FOREIGN_YAML = """\
site: {domain}
user: {user}
workers:
  - {{name: web, wsgi: tiny:application, count: 1}}
  - {{name: app, command: [python, app.py]}}
logs:
  size: 64KiB
  every: never
  files: [{{path: app.log, signal: USR1, pid_file: logs/app.pid}}]
"""


def test_a_program_is_told_to_open_its_log_anew(new_host, django_venv):
    host = new_host()
    site = deploy_tiny(host, TINY, django_venv, FOREIGN_YAML)
    (site.repo / "app.py").write_text(FOREIGN)
    (site.repo / "app.py").chmod(0o644)
    host.start_workers()
    wait_for(lambda: f"line {FOREIGN_LINES - 1} " in "\n".join(read_all(site.logs, "app.log")), 60,
             "all lines are written")
    wait_for(lambda: all_packed(site.logs, "app.log"), SOON_S, "old ones are packed")
    assert len(old_files(site.logs, "app.log")) >= 2
    numbers = [int(line.split()[1]) for line in read_all(site.logs, "app.log")]
    assert numbers == list(range(FOREIGN_LINES))


def test_a_command_tells_a_program_to_open_its_log_anew(new_host, django_venv):
    """As the site's user, in the site's directory; once more for a rotation while it ran."""
    host = new_host()
    told = "id -un > logs/told; kill -USR1 $(cat logs/app.pid); sleep 2"
    yaml = FOREIGN_YAML.replace("signal: USR1, pid_file: logs/app.pid",
                                f'command: [/bin/sh, -c, "{told}"]')
    site = deploy_tiny(host, TINY, django_venv, yaml)
    (site.repo / "app.py").write_text(FOREIGN)
    (site.repo / "app.py").chmod(0o644)
    host.start_workers()
    wait_for(lambda: f"line {FOREIGN_LINES - 1} " in "\n".join(read_all(site.logs, "app.log")), 60,
             "all lines are written")
    wait_for(lambda: all_packed(site.logs, "app.log"), SOON_S, "old ones are packed")
    numbers = [int(line.split()[1]) for line in read_all(site.logs, "app.log")]
    assert numbers == list(range(FOREIGN_LINES))
    assert (site.logs / "told").read_text() == f"{host.user.name}\n"


def test_a_command_that_fails_after_a_rotation_is_named(new_host, django_venv):
    host = new_host()
    yaml = FOREIGN_YAML.replace("signal: USR1, pid_file: logs/app.pid", "command: [/bin/false]")
    site = deploy_tiny(host, TINY, django_venv, yaml)
    (site.repo / "app.py").write_text(FOREIGN)
    (site.repo / "app.py").chmod(0o644)
    host.start_workers()
    wait_for(lambda: "the command after a log was rotated failed"
             in (host.root / "amy-workers.log").read_text(), SOON_S, "it is told")


@pytest.fixture
def leftover(files):
    """An entry of logrotate's that names this site's logs, and nothing else."""
    entry = Path(f"/etc/logrotate.d/amy-test-{os.getpid()}")
    entry.parent.mkdir(exist_ok=True)
    entry.write_text(f"{files.webapps}/{SITE}/logs/*.log {{\n  daily\n  missingok\n}}\n")
    yield entry
    entry.unlink()


@pytest.mark.root
def test_a_leftover_entry_of_logrotate_is_reported(files, leftover):
    def problems():
        site, = files.daemon_status("front")["sites"]
        return " ".join(problem["message"] for problem in site["problems"])
    assert "logrotate.d" not in problems()
    files.front.send(signal.SIGHUP)
    wait_for(lambda: f"/etc/logrotate.d/{leftover.name} rotates" in problems(), SOON_S,
             "the status names it")


@pytest.fixture
def small_disk(new_host):
    """A site whose logs/ is a file system of 1 MiB, nearly full of old logs."""
    host = new_host()
    site = host.site(SITE)
    (site.directory / "static").mkdir()
    (site.directory / "static").chmod(0o755)
    (site.directory / "static/a.txt").write_text("a")
    (site.directory / "static/a.txt").chmod(0o644)
    site.write_yaml(YAML.format(domain=SITE, user=host.user.name))
    options = f"size=1m,mode=750,uid={host.user.uid},gid={host.user.gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", site.logs], check=True)
    for day in range(10, 18):
        old = site.logs / f"access.log-202611{day}T000000Z.gz"
        old.write_bytes(gzip.compress(os.urandom(100_000)))
        os.chown(old, host.user.uid, host.user.gid)
    yield host
    host.stop()
    subprocess.run(["umount", site.logs], check=True)


@pytest.mark.root
def test_on_a_full_disk_requests_go_on_and_the_oldest_go(small_disk):
    host, logs = small_disk, small_disk.sites[SITE].logs
    host.start_front()
    hog = logs / "hog"
    with hog.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 4096)
    wait_for(lambda: len(old_files(logs, "access.log")) < 8, SOON_S, "room is made")
    wait_for(lambda: (host.get(SITE, "/static/a.txt?later", tls=False).status == 200
                      and "?later" in (logs / "access.log").read_text()),
             SOON_S, "lines are written")
    assert hog.exists()
    assert (logs / "access.log-20261117T000000Z.gz").exists()
    told = [line for line in (host.root / "amy-front.log").read_text().splitlines()
            if "the disk is full" in line]
    assert len(told) == 1
