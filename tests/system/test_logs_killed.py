"""Front processes are killed while they write one access.log, and meet a quota
that only they see. promises/logs.md 1, 6."""

import gzip
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from hosting.load import PlainLoad
from hosting.wait import wait_for
from scripted import SOON_S
from test_logrotate import SITE, YAML, all_packed, logs_of, old_files, read_all

KILLS = 6
LINE = re.compile(
    r'127\.0\.0\.1 - - \[[^]]+\] "GET /static/a\.txt\?x{100} HTTP/1\.1" 200 1 "-" "[^"]*" '
    r"rt=\d+\.\d{3} qt=- id=\S+ w=-")


@pytest.fixture(scope="module")
def files(host_for_module):
    host = host_for_module
    site = host.site(SITE)
    static = site.directory / "static"
    static.mkdir()
    static.chmod(0o755)
    (static / "a.txt").write_text("a")
    (static / "a.txt").chmod(0o644)
    site.write_yaml(YAML.format(domain=SITE, user=host.user.name).replace("64KiB", "4MiB"))
    host.start_front()
    return host


def processes(host):
    return {process["pid"] for process in host.daemon_status("front")["processes"]
            if process["pid"]}


def test_lines_stay_whole_when_processes_are_killed(files):
    logs = files.sites[SITE].logs
    with PlainLoad(files, SITE, [f"/static/a.txt?{'x' * 100}"], connections=32) as load:
        for _ in range(KILLS):
            size = logs_of(files, "front", SITE)["bytes"]
            wait_for(lambda: logs_of(files, "front", SITE)["bytes"] != size
                     and len(processes(files)) == 2, SOON_S, "both write")
            os.kill(min(processes(files)), signal.SIGKILL)
        wait_for(lambda: len(processes(files)) == 2, SOON_S, "there are two again")
        report = load.stop()
    wait_for(lambda: all("memfd:amy-log-locks" in Path(f"/proc/{pid}/maps").read_text()
                         for pid in processes(files)), SOON_S, "both have the locks")
    assert "without a lock" not in (files.root / "amy-front.log").read_text()
    assert report.by_status.keys() == {200}
    assert files.get(SITE, f"/static/a.txt?{'x' * 100}", tls=False).status == 200
    wait_for(lambda: (logs / "access.log").read_bytes().endswith(b"\n"), SOON_S,
             "the last ones are written")
    wait_for(lambda: all_packed(logs, "access.log"), SOON_S, "all old ones are packed")
    lines = read_all(logs, "access.log")
    assert len(lines) > 1000
    assert [line for line in lines if not LINE.fullmatch(line)] == []


@pytest.mark.root
def test_a_quota_that_only_writers_meet_takes_the_oldest(files):
    logs = files.sites[SITE].logs
    for day in range(10, 18):
        old = logs / f"access.log-202611{day}T000000Z.gz"
        old.write_bytes(gzip.compress(os.urandom(1000)))
        os.chown(old, files.user.uid, files.user.gid)
    pids = [option for pid in processes(files) for option in ("-p", str(pid))]
    tracer = subprocess.Popen(
        ["strace", "-f", "-e", "trace=write", "-e", "inject=write:error=EDQUOT", "-P",
         logs / "access.log", *pids], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: (files.get(SITE, "/static/a.txt?x", tls=False).status == 200
                          and len([file for file in old_files(logs, "access.log")
                                   if b"202611" in os.fsencode(file.name)]) < 8),
                 SOON_S, "room is made")
    finally:
        tracer.terminate()
        tracer.wait(SOON_S)
    wait_for(lambda: (files.get(SITE, "/static/a.txt?later", tls=False).status == 200
                      and "?later" in (logs / "access.log").read_text()),
             SOON_S, "lines are written again")
