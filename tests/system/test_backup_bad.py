"""Backups on bad days: servers that stand still or die, hosts without room,
clocks that were wrong, what a kill left. Issue: a backup with a verdict."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from backups import DOMAIN, Gate, Shop, expect_failed, last_event, proxies, trusting_server
from hosting.wait import wait_for
from support import processes_below

SILENCE = {"silence_ms": 1000}
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(session_root):
    yield from trusting_server(session_root / "pb")


@pytest.fixture
def shop(new_host, server, django_venv):
    return Shop(new_host(), server, django_venv)


@pytest.fixture
def through(shop):
    """A function: the site comes through a proxy from now on."""
    yield from proxies(shop)


def processes_of(server):
    """The postmaster and all that it has started."""
    main = server.child.pid
    found = [main]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == main:
            found.append(int(pid))
    return found


class Hole:
    """Forwards nothing any more after so many bytes of a session."""

    def __init__(self, limit):
        self.limit = limit
        self.closed = threading.Event()

    def __call__(self, data, passed):
        if passed + len(data) > self.limit:
            self.closed.wait(120)
            return None
        return data


# ---- a server that says nothing


@pytest.mark.parametrize("limit", [600, 20000, 60000])
def test_a_black_hole_ends_the_job_and_leaves_nothing(shop, through, limit):
    hole = Hole(limit)
    through(hole)
    try:
        event = shop.run("dump", **SILENCE)
        assert event["event"] == "failed", event
        assert any(word in event["message"] for word in ("nothing for", "stood still", "timeout")), event
        assert shop.names() == []
    finally:
        hole.closed.set()


def test_a_dump_that_stands_still_is_ended(shop, through):
    """Its own session only: that which watches is answered."""
    gate = Gate()
    through(gate)
    try:
        expect_failed(shop.run("dump", **SILENCE), "pg_dump stood still for 1 s")
        assert shop.names() == []
    finally:
        gate.opened.set()


def test_a_server_that_is_stopped_ends_the_job(shop, through):
    gate = Gate()
    through(gate)
    child = shop.start("dump", silence_ms=3000)
    assert gate.reached.wait(60)
    stopped = processes_of(shop.postgres)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        expect_failed(last_event(child.communicate(timeout=60)[0]), "nothing for 3 s")
        assert shop.names() == []
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        gate.opened.set()
    assert shop.run("dump")["event"] == "done"


def test_a_server_that_is_killed_leaves_nothing(shop, through):
    shop.query("INSERT INTO item (t) SELECT repeat('x', 100) FROM generate_series(1, 50000)")
    gate = Gate()
    through(gate)
    child = shop.start("dump")
    assert gate.reached.wait(60)
    pid = shop.query("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'amy-backup dump%'"
                     f" AND datname = '{shop.database}'")
    os.kill(int(pid), signal.SIGKILL)  # all others end with it
    gate.opened.set()
    assert last_event(child.communicate(timeout=60)[0])["event"] == "failed"
    assert shop.names() == []
    shop.set_url(shop.url())
    wait_for(lambda: shop.run("dump")["event"] == "done", 60, "a backup after the server's recovery")


def test_a_list_of_roles_that_fails_hides_no_warning(shop, through):
    """Both are told: what the server said to pg_dump, and that there are none."""
    shop.query(f"UPDATE pg_database SET datcollversion = '1' WHERE datname = '{shop.database}'",
               "postgres")
    through(lambda data, passed: None if b"rolsuper" in data else data)
    event = shop.run("dump")
    assert event["event"] == "done" and event["set"]["verdict"] == "parsed", event
    warning = event["set"]["warning"]
    assert "collation version" in warning and "no roles: pg_dumpall" in warning, event
    assert not (shop.sets / event["set"]["name"] / "roles.sql").exists()


@pytest.mark.long
def test_an_alarms_command_has_a_limit(shop):
    told = shop.site.directory / "alarms"
    told.mkdir()
    os.chown(told, shop.host.user.uid, shop.host.user.gid)
    shop.write_yaml("{every: 1m, alarm: {timeout: 1s, command: [/bin/sh, -c, "
                    "'trap \"\" TERM; echo $$ > alarms/pid; while :; do sleep 60; done']}}")
    shop.set_url(shop.url(database="no_such_database"))
    shop.host.start_backup()
    pid = wait_for(lambda: (told / "pid").exists() and (told / "pid").read_text().strip(), 60, "an alarm")
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 30, "the command is ended")
    wait_for(lambda: "took too long" in shop.host.backup.output(), 30, "a line in the log")


# ---- a host without what it takes


@pytest.fixture
def small(shop):
    """A function: DB_backups on a disk of so many MiB."""
    mounted = []

    def mount(size):
        subprocess.run(["mount", "-t", "tmpfs", "-o",
                        f"size={size}m,mode=700,uid={shop.host.user.uid},gid={shop.host.user.gid}",
                        "tmpfs", shop.sets], check=True)
        mounted.append(shop.sets)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.root
@pytest.mark.parametrize("size", [16, 72], ids=["initdb", "restore"])
def test_a_drill_without_room_says_nothing_of_the_set(shop, small, size):
    shop.query("INSERT INTO item (t) SELECT repeat('x', 1000) FROM generate_series(1, 50000)")
    small(size)
    assert shop.run("dump")["event"] == "done"
    expect_failed(shop.run("drill"), "could not be tried")
    (one,) = shop.listed()
    assert one["verdict"] == "parsed" and one["reason"] == "", one
    assert not (shop.sets / ".scratch").exists()


@pytest.mark.root
def test_a_full_disk_is_pruned_before_it_is_given_up(shop, small):
    small(8)
    for _ in range(3):
        assert shop.run("dump")["event"] == "done"
    newest = shop.listed()[0]["name"]
    path = shop.sets / newest / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][0]["bytes"] = 3 * MIB  # as if the last one were so large
    path.write_text(json.dumps(manifest))
    for name in (one["name"] for one in shop.listed()[1:]):
        with open(shop.sets / name / "data.dump.zst", "ab") as data:
            data.write(bytes(3 * MIB))
    expect_failed(shop.run("dump", count=3), "has room for")
    assert len(shop.listed()) == 3
    event = shop.run("dump", count=1)
    assert event["event"] == "done" and len(event["made_room"]) == 2, event
    names = [one["name"] for one in shop.listed()]
    assert newest not in event["made_room"] and len(names) <= 2


def test_a_rehearsal_of_pruning_changes_nothing_at_all(shop):
    for _ in range(3):
        shop.run("dump")
    partial = shop.sets / "20260101T000000Z.partial"
    partial.mkdir()
    (partial / "data.dump.zst").write_bytes(b"half")
    shop.sets.chmod(0o755)
    before = [(path, path.lstat()) for path in [shop.sets, *sorted(shop.sets.rglob("*"))]]
    assert len(shop.run("prune", dry_run=True, count=1)["removed"]) == 2
    after = [(path, path.lstat()) for path in [shop.sets, *sorted(shop.sets.rglob("*"))]]
    for (path, old), (same, new) in zip(before, after, strict=True):
        assert path == same
        assert (old.st_mtime_ns, old.st_mode, old.st_ino) == (new.st_mtime_ns, new.st_mode, new.st_ino), path


@pytest.mark.root
def test_root_gives_nothing_away_behind_a_link(shop, tmp_path):
    """DB_backups is made by root, in a directory that is root's."""
    shop.sets.rmdir()
    shop.sets.symlink_to(tmp_path)
    before = tmp_path.stat()
    shop.host.start_backup(ready=False)
    wait_for(lambda: shop.host.daemon_status("backup"), 30, "amy-backup answers")
    assert "symbolic link" in shop.ask("dump")["message"]
    assert tmp_path.stat().st_uid == before.st_uid and list(tmp_path.iterdir()) == []
    shop.sets.unlink()
    assert shop.ask("dump")["state"] == "done"
    made = shop.sets.lstat()
    assert made.st_uid == shop.host.user.uid and oct(made.st_mode & 0o777) == "0o700"


# ---- what a kill left, and clocks


def test_a_killed_drills_directory_is_swept_and_no_other(shop):
    shop.run("dump")
    before = set(Path("/tmp").glob("amy-drill-*"))
    child = shop.start("drill")
    mine = wait_for(lambda: set(Path("/tmp").glob("amy-drill-*")) - before
                    and (shop.sets / ".scratch" / "postmaster.pid").exists()
                    and set(Path("/tmp").glob("amy-drill-*")) - before, 60, "a cluster")
    held = {path for path in mine if path.stat().st_uid == shop.host.user.uid}
    child.kill()
    child.communicate(timeout=60)
    wait_for(lambda: not processes_below(shop.host.root), 60, "its cluster ends with it")
    foreign = Path("/tmp/amy-drill-foreign")
    foreign.mkdir(exist_ok=True)
    try:
        wait_for(lambda: shop.run("dump")["event"] == "done"
                 and not [path for path in held if path.exists()], 60, "it is swept")
        if os.geteuid() == 0:
            assert foreign.exists()
    finally:
        if foreign.exists():
            foreign.rmdir()


def test_a_set_from_the_future_is_told_and_evicts_nobody(shop):
    for _ in range(2):
        shop.run("dump")
    ahead = "20991231T235959Z"
    old = shop.listed()[0]["name"]
    (shop.sets / old).rename(shop.sets / ahead)
    path = shop.sets / ahead / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.update(name=ahead, started="2099-12-31T23:59:59.000Z")
    path.write_text(json.dumps(manifest))
    event = shop.run("dump", count=1)
    assert event["event"] == "done" and event["removed"] != [], event
    assert event["set"]["name"] in shop.names() and ahead in shop.names()
    shop.host.start_backup()
    status = wait_for(lambda: (backup := shop.host.daemon_status("backup")["sites"][0]["backup"])
                      ["known"] and backup, 30, "the daemon knows")
    assert status["ahead"] == 1 and status["good"]["name"] == event["set"]["name"]
    assert "dated in the future" in shop.host.amyctl("backup", "list", DOMAIN).stdout


def test_a_verification_that_fails_for_the_host_is_all_that_is_left(shop):
    """Without a pipe for pg_restore, the last that a job wants, the set is no
    worse for it."""
    child = shop.start("dump", prefix=["strace", "-qq", "-e", "trace=pipe2"])
    _, trace = child.communicate(timeout=120)
    last = trace.count(b"pipe2(")
    child = shop.start("dump", prefix=["strace", "-qq", "-e", "trace=pipe2", "-e",
                                       f"inject=pipe2:error=EMFILE:when={last}"])
    event = expect_failed(last_event(child.communicate(timeout=120)[0]), "pipe")
    assert event["left"] == "verify" and event["set"]["verdict"] == "hashed", event
    event = shop.run("verify", set=event["set"]["name"])
    assert event["event"] == "done" and event["set"]["verdict"] == "parsed"


# ---- names of another time


@pytest.mark.parametrize("encoding, target", [("SQL_ASCII", "SQL_ASCII"), ("LATIN1", "UTF8")])
def test_names_that_are_not_utf8_are_dumped_drilled_and_restored(shop, encoding, target):
    old, new = f"{shop.database}_old", f"{shop.database}_new"
    for name, kind in ((old, encoding), (new, target)):
        shop.query(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{kind}'"
                   " LC_COLLATE 'C' LC_CTYPE 'C'", "postgres")
    shop.query("DO $$ BEGIN EXECUTE format('CREATE TABLE %I AS SELECT 1 AS x', 'caf' || chr(233));"
               " END $$", old)
    shop.set_url(shop.url(database=old))
    event = shop.run("dump")
    assert event["event"] == "done" and event["set"]["verdict"] == "parsed", event
    manifest = json.loads((shop.sets / event["set"]["name"] / "manifest.json").read_text())
    (table,) = manifest["tables"]
    assert table["rows"] == 1 and "caf" in table["name"], table
    assert bytes.fromhex(table["name_bytes"]).endswith(b"caf\xe9\"")
    assert manifest["encoding"] == encoding
    event = shop.run("restore", to=new)
    assert event["event"] == "done", event
    event = shop.run("drill")
    assert event["event"] == "done" and event["set"]["verdict"] == "restored", event
