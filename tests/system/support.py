"""What several tests need: the quick site, and looking at processes."""

import os
import socket
from pathlib import Path

from hosting import venv, walk
from hosting.host import connect_unix
from hosting.rawhttp import Connection
from hosting.release import Releases
from hosting.site import copy_file, make_directory
from hosting.wait import wait_for

HERE = Path(__file__).resolve().parent
TINY = "tiny.localhost"

TINY_YAML = """\
site: {domain}
user: {user}
http: serve
health: {{path: /healthz, bake: 300ms}}
workers:
  - {{name: web, wsgi: tiny:application, count: 2, timeout: 30s}}
gate: {{except: [/healthz]}}
"""

BEAT_WORKER = "  - {name: scheduler, command: [python, beat.py], replace: stop-first}\n"


def deploy_tiny(host, domain, base_venv, yaml=TINY_YAML, **variables):
    """The quick application as a site; formats `yaml` with domain and user."""
    site = host.site(domain)
    make_directory(site.repo)
    for name in ("tiny.py", "beat.py"):
        copy_file(HERE / "apps" / name, site.repo / name)
    venv.build_over(site.venv.resolve(), base_venv)
    beat = site.directory / "beat"
    make_directory(beat, 0o700, host.user)
    site.write_postactivate({"BEAT_FILE": str(beat / "beats"), **variables})
    site.write_yaml(yaml.format(domain=domain, user=host.user.name))
    return site


def add_to_workers(yaml, line):
    """One more pool behind the others."""
    head, marker, rest = yaml.partition("gate:")
    return head + line.replace("{", "{{").replace("}", "}}") + marker + rest


def deploy_released(host, base_venv, yaml=TINY_YAML, **variables):
    """The same with releases/1, and `repo` a link to it."""
    releases = Releases(host.site(TINY), "tiny.py").begin()
    deploy_tiny(host, TINY, base_venv, yaml, **variables)
    return releases


def bake_shortly(yaml):
    """The sample's site.yaml for whoever has no 5 s for each reload."""
    assert "any_host: true}" in yaml, yaml
    return yaml.replace("any_host: true}", "any_host: true, bake: 300ms}")


def serve_demo(host, base_venv, postgres, redis, change=bake_shortly):
    """The demo's site as scripts/demo lays it out, serving; `change` makes of its
    site.yaml another."""
    site = host.site("demo.localhost")
    site.deploy_django(postgres.url, redis.url, base_venv)
    site.write_yaml(change(site.sample_yaml()))
    host.start_workers(ready=False)
    host.start_front()
    host.start_backup(ready=False)
    wait_for(host.workers_are_ready, 60, "all workers are ready")
    return walk.Stage(host, site, postgres, redis)


def close_host(host):
    """Stop its daemons; nothing may be left, and what is left is ended."""
    try:
        host.stop()
        left = processes_below(host.root)
        assert not left, f"left over after the daemons ended: {left}"
    finally:
        for pid in processes_below(host.root):
            os.kill(pid, 9)


def expect_one_at_a_time(site):
    """Of beat.py there were never two at once; returns how many in all.

    Every line is one beat: pid and monotonic time. Lives must not overlap.
    """
    lives = {}
    for line in (site.directory / "beat/beats").read_text().split("\n")[:-1]:
        pid, when = line.split()
        first, last = lives.get(pid, (float(when), float(when)))
        lives[pid] = (min(first, float(when)), max(last, float(when)))
    ordered = sorted(lives.values())
    for (_, end), (begin, _) in zip(ordered, ordered[1:]):
        assert begin >= end, f"two at once: {lives}"
    return len(ordered)


# ---- processes


def scrape(host, daemon="front", method="GET", path="/metrics"):
    """An answer on a socket for Prometheus."""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10)
        connect_unix(raw, host.run / f"{daemon}-metrics.sock")
        connection = Connection(raw)
        connection.request(method, path, {"Host": "metrics"})
        return connection.read_response(method)


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def stat_fields(pid):
    """The fields of /proc/PID/stat behind the name: state first."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(pid):
    fields = stat_fields(pid)
    return fields is not None and fields[0] not in {"Z", "X"}


def children_of(parent):
    return [pid for pid in processes()
            if (fields := stat_fields(pid)) and int(fields[1]) == parent and is_alive(pid)]


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def processes_below(root):
    """Those whose command or working directory is below `root`."""
    found = []
    for pid in processes():
        try:
            cwd = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            cwd = ""
        inside = cwd == str(root) or cwd.startswith(f"{root}/")
        if (inside or f"{root}/" in command_line(pid)) and is_alive(pid) and pid != os.getpid():
            found.append(pid)
    return found


def status_of_process(pid):
    """/proc/PID/status as a dictionary."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def open_files(pid):
    """What each descriptor of a process stands for."""
    found = {}
    directory = f"/proc/{pid}/fd"
    for number in os.listdir(directory):
        try:
            found[int(number)] = os.readlink(f"{directory}/{number}")
        except FileNotFoundError:
            pass
    return found
