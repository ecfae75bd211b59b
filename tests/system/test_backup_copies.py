"""Copies of backups in a second directory: made, read back, thinned out, brought
home; and everything that is bad for them."""

import fcntl
import json
import os
import re
import shutil
import subprocess

import pytest

from backups import DOMAIN, Shop, check_restorable, expect_failed
from hosting.site import make_directory
from hosting.wait import wait_for
from support import scrape
from test_metrics import expect_promtool_takes, metrics, scrape, value


SOON_S = 60


@pytest.fixture(scope="module")
def module_shop(host_for_module, postgres, django_venv):
    made = Shop(host_for_module, postgres, django_venv)
    made.make_template()
    return made


class Nas:
    """A directory that stands for a mounted disk."""

    def __init__(self, shop):
        self.shop = shop
        self.path = shop.host.root / "nas"
        make_directory(self.path, 0o700, shop.host.user)
        self.marker = self.path / ".amy-copies"
        self.mark()

    def mark(self):
        self.marker.touch()
        os.chown(self.marker, self.shop.host.user.uid, self.shop.host.user.gid)

    def sets(self):
        return sorted(path.name for path in self.path.iterdir() if path.is_dir())

    def spec(self, rules=None):
        rules = {"count": 3} if rules is None else rules
        place = {"name": "nas", "directory": str(self.path), **rules}
        return {"copy": place, "copies": [{"name": "nas", **rules}]}

    def run(self, action="copy", rules=None, **more):
        return self.shop.run(action, **self.spec(rules), **more)

    def start(self, action, **more):
        return self.shop.start(action, **self.spec(), **more)

    def copied(self, **more):
        event = self.run(**more)
        assert event["event"] == "done", event
        return event["copied"]

    def known(self):
        """What DB_backups remembers of it: names, and whether they were read back."""
        (copy,) = self.run("list")["copies"]
        return {entry["name"]: entry["proven"] is not None for entry in copy["sets"]}


@pytest.fixture
def shop(module_shop):
    """Without any set, and without memory of any copy."""
    module_shop.lose_sets()
    shutil.rmtree(module_shop.host.root / "nas", ignore_errors=True)
    return module_shop


@pytest.fixture
def nas(shop):
    return Nas(shop)


def flip(path):
    """One bit, and nothing that a look at size and time would see."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# ---- the good days


def test_a_set_is_copied_read_back_and_thinned_by_the_copys_own_rules(shop, nas):
    names = [shop.new_set() for _ in range(3)]
    assert sorted(nas.copied()) == names == nas.sets()
    for name in names:
        check_restorable(nas.path / name)
    assert nas.known() == dict.fromkeys(names, True)
    assert nas.copied() == []
    newest = shop.new_set()
    event = nas.run(rules={"count": 2})
    assert event["copied"] == [newest] and event["removed"] == names[:2]
    assert nas.sets() == [names[2], newest]
    assert len(shop.listed()) == 4


def test_the_newest_goes_first_and_what_the_rules_would_drop_not_at_all(shop, nas):
    names = [shop.new_set() for _ in range(4)]
    assert nas.copied(rules={"count": 2}) == [names[3], names[2]]


def test_a_set_that_is_not_verified_is_not_copied(shop, nas):
    shop.new_set()
    (path,) = shop.sets.glob("2*")
    flip(path / "data.dump.zst")
    expect_failed(shop.run("verify"), "damaged")
    assert nas.copied() == []
    assert nas.sets() == []


def test_what_is_said_of_a_set_later_reaches_its_copy(shop, nas):
    name = shop.new_set()
    nas.copied()
    assert shop.run("pin", set=name)["event"] == "done"
    assert nas.copied() == []
    assert json.loads((nas.path / name / "manifest.json").read_text())["pinned"] is True
    for _ in range(2):
        shop.new_set()
    nas.copied(rules={"count": 1})
    assert name in nas.sets() and len(nas.sets()) == 2


def test_a_set_that_is_damaged_here_is_still_good_there(shop, nas):
    name = shop.new_set()
    nas.copied()
    flip(shop.sets / name / "data.dump.zst")
    expect_failed(shop.run("verify", set=name), "damaged")
    assert nas.copied() == []
    check_restorable(nas.path / name)
    shutil.rmtree(shop.sets / name)
    assert nas.run("fetch")["set"]["verdict"] == "parsed"
    check_restorable(shop.sets / name)


# ---- a local set waits for its copy


def test_no_local_set_goes_before_its_copy_was_read_back(shop, nas):
    rules = [{"name": "nas", "count": 3}]
    names = [shop.new_set() for _ in range(3)]
    assert shop.run("prune", count=1, copies=rules)["removed"] == []
    nas.copied()
    assert shop.run("prune", count=1, copies=rules)["removed"] == names[:2]
    assert nas.sets() == names


def test_what_the_copy_would_not_keep_does_not_stay_for_it(shop):
    rules = [{"name": "nas", "count": 2}]
    names = [shop.new_set() for _ in range(4)]
    assert shop.run("prune", count=1, copies=rules)["removed"] == names[:2]


def test_a_copy_that_is_damaged_holds_no_place_and_is_made_again(shop, nas):
    name = shop.new_set()
    nas.copied()
    flip(nas.path / name / "data.dump.zst")
    expect_failed(nas.run("verify-copy", set=name), "copy 'nas'", "hash differs")
    assert nas.known() == {name: False}
    (copy,) = nas.run("list")["copies"]
    assert copy["missing"] == 1 and copy["newest"] is None
    assert nas.copied() == [name]
    check_restorable(nas.path / name)
    assert nas.run("verify-copy")["set"]["name"] == name


def test_what_is_read_back_comes_from_the_disk(shop, nas):
    """Each time: whoever read it last, a drill say, left it in memory."""
    name = shop.new_set()
    nas.copied()
    child = nas.start("verify-copy", set=name,
                      prefix=["strace", "-qq", "-y", "-e", "trace=fadvise64,read"])
    trace = child.communicate(timeout=120)[1].decode(errors="replace")
    calls = [line.partition("(")[0] for line in trace.splitlines() if f"{name}/data.dump.zst>" in line]
    assert calls[0] == "fadvise64" and "read" in calls, calls


def test_a_copy_that_has_lost_a_piece_is_made_again(shop, nas):
    names = [shop.new_set(), shop.new_set()]
    nas.copied()
    data = nas.path / names[0] / "data.dump.zst"
    os.truncate(data, data.stat().st_size - 1)
    assert nas.copied() == [names[0]]
    (nas.path / names[1] / "data.dump.zst").unlink()
    assert nas.copied() == [names[1]]
    for name in names:
        check_restorable(nas.path / name)


def test_a_record_that_is_lost_makes_nothing_copied(shop, nas):
    names = [shop.new_set(), shop.new_set()]
    nas.copied()
    flip(nas.path / names[0] / "data.dump.zst")
    shutil.rmtree(shop.sets / ".copies")
    assert nas.run("list")["copies"][0]["missing"] == 2
    assert nas.copied() == [names[0]]  # the other was there, and sound
    assert nas.known() == dict.fromkeys(names, True)
    check_restorable(nas.path / names[0])


def test_a_host_built_anew_removes_nothing_that_it_has_not_read(shop, nas):
    names = [shop.new_set() for _ in range(3)]
    nas.copied()
    newest = shop.new_set()
    for lost in (*names, ".copies"):
        shutil.rmtree(shop.sets / lost)
    event = nas.run(rules={"monthly": 12, "count": 4})
    assert event["copied"] == [newest] and event["removed"] == [], event
    assert nas.known() == dict.fromkeys([*names, newest], True)
    shutil.rmtree(shop.sets / ".copies")
    flip(nas.path / names[2] / "data.dump.zst")
    event = nas.run(rules={"count": 3})
    assert event["removed"] == [], event  # of three that count, one is damaged
    assert nas.known() == {names[0]: True, names[1]: True, names[2]: False, newest: True}


def test_what_is_known_of_one_place_says_nothing_of_another(shop, nas):
    names = [shop.new_set(), shop.new_set()]
    nas.copied()
    new = nas.path.rename(nas.path.with_name("nas2"))
    flip(new / names[0] / "data.dump.zst")
    here = {"name": "nas", "count": 3}
    there = here | {"place": "another"}
    assert shop.run("prune", count=1, copies=[there])["removed"] == []
    try:
        event = shop.run("copy", copy={"name": "nas", "directory": str(new), "count": 3})
        assert event["copied"] == [names[0]], event
        assert shop.run("prune", count=1, copies=[here])["removed"] == [names[0]]
    finally:
        shutil.rmtree(new)


# ---- bad days


def test_a_disk_that_is_not_mounted_is_not_filled(shop, nas):
    shop.new_set()
    nas.marker.unlink()
    expect_failed(nas.run(), "copy 'nas'", "is its disk mounted?", ".amy-copies")
    assert list(nas.path.iterdir()) == []
    nas.path.rmdir()
    expect_failed(nas.run(), "copy 'nas'", str(nas.path))
    assert not nas.path.exists()


def test_a_disk_that_renames_without_flags_has_copies(shop, nas):
    """As NFS, 9p and some of FUSE do, which answer EINVAL to any flag."""
    plain = ["strace", "-qq", "-e", "trace=renameat2", "-e", "inject=renameat2:error=EINVAL"]
    names = [shop.new_set() for _ in range(3)]
    assert nas.copied(prefix=plain) == names[::-1]
    assert nas.run(rules={"count": 2}, prefix=plain)["removed"] == names[:1]
    assert nas.sets() == names[1:]
    check_restorable(nas.path / names[2])


def test_two_at_once_take_turns(shop, nas):
    shop.new_set()
    with nas.marker.open() as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        expect_failed(nas.run(), "another host")
    assert len(nas.copied()) == 1


def test_a_busy_disk_is_a_failure_and_another_job_is_none(shop, nas):
    """Whoever waits for the other job is not told of anything."""
    shop.new_set()
    with nas.marker.open() as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        waits = expect_failed(nas.run(), "another host")["code"]
    strace = ["strace", "-f", "-qq", "-e", "trace=renameat2", "-e", "inject=renameat2:error=EBUSY"]
    assert expect_failed(nas.run(prefix=strace), "copy 'nas'", "busy")["code"] != waits
    assert nas.known() == {}


def test_a_full_disk_leaves_no_set(shop, nas):
    shop.new_set()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", nas.path], check=True)
    try:
        os.chown(nas.path, shop.host.user.uid, shop.host.user.gid)
        nas.mark()
        (nas.path / "ballast").write_bytes(bytes(48 * 1024))
        expect_failed(nas.run(), "copy 'nas'", "No space left")
        assert nas.sets() == [] and nas.known() == {}
    finally:
        subprocess.run(["umount", nas.path], check=True)


def test_lower_rules_make_room_on_a_full_disk(shop, nas):
    names = [shop.new_set() for _ in range(3)]
    bytes_each = sum(path.stat().st_size for path in (shop.sets / names[0]).iterdir())
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", nas.path], check=True)
    try:
        os.chown(nas.path, shop.host.user.uid, shop.host.user.gid)
        nas.mark()
        assert sorted(nas.copied()) == names
        room = os.statvfs(nas.path)
        (nas.path / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize - bytes_each // 2))
        newest = shop.new_set()
        expect_failed(nas.run(), "copy 'nas'", "No space left")
        assert nas.copied(rules={"count": 1}) == [newest]
        assert nas.sets() == [newest]
    finally:
        subprocess.run(["umount", nas.path], check=True)


def test_a_set_that_cannot_be_copied_keeps_no_other_from_it(shop, nas):
    old = shop.new_set()
    nas.copied(rules={"count": 2})
    names = [shop.new_set() for _ in range(4)]
    flip(shop.sets / names[3] / "data.dump.zst")
    (nas.path / names[2]).mkdir()
    (nas.path / names[2] / "manifest.json").write_text("{")
    expect_failed(nas.run(rules={"count": 4}), "copy 'nas'", "hash differs")
    assert nas.known() == dict.fromkeys([old, *names[:2]], True)
    expect_failed(nas.run(rules={"count": 1}), "copy 'nas'", "hash differs")
    assert nas.sets() == names[1:3]


def test_what_is_not_ours_is_never_touched(shop, nas):
    (nas.path / "letters").mkdir()
    (nas.path / "letters" / "one.txt").write_text("mine")
    name = shop.new_set()
    nas.copied()
    other = nas.path / "20200101T000000Z"
    shutil.copytree(nas.path / name, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest |= {"site": "other.localhost", "name": other.name}
    (other / "manifest.json").write_text(json.dumps(manifest))
    shop.new_set()
    nas.copied(rules={"count": 1})
    assert other.name in nas.sets() and (nas.path / "letters" / "one.txt").exists()


# What changes a file when a copy is made and an older one is removed.
KILLED_AT = ["write", "fsync", "mkdirat", "renameat", "renameat2", "unlinkat"]


def killed_at(shop, nas, call, when):
    """Whether a job came so far, with that call for the so-and-so-many-th time."""
    place = {"name": "nas", "directory": str(nas.path), "count": 1}
    strace = ["strace", "-f", "-qq", "-e", f"trace={call}",
              "-e", f"inject={call}:signal=KILL:when={when}"]
    child = shop.start("copy", copy=place, copies=[{"name": "nas", "count": 1}], prefix=strace)
    _, trace = child.communicate(timeout=60)
    return b"+++ killed by SIGKILL +++" in trace


@pytest.mark.parametrize("call", KILLED_AT)
def test_a_kill_at_any_call_leaves_no_set_that_looks_copied_and_is_not(shop, nas, call):
    """One set is there; a newer one goes there and takes its place."""
    old, new = shop.new_set(), shop.new_set()
    killed, when, left = 0, 1, True
    while left:
        shutil.rmtree(shop.sets / ".copies", ignore_errors=True)
        for path in nas.path.glob("2*"):
            shutil.rmtree(path)
        subprocess.run(["cp", "-a", shop.sets / old, nas.path], check=True)
        left = killed_at(shop, nas, call, when)
        killed += left
        when += 1 + when // 2
        sets = [name for name in nas.sets() if name in (old, new)]
        assert sets, "neither the old one nor the new one"
        for name in sets:
            check_restorable(nas.path / name)
    assert killed
    assert nas.run(rules={"count": 1})["event"] == "done"
    check_restorable(nas.path / new)
    assert nas.sets() == [new]


# ---- the way back


def test_a_set_comes_home_from_its_copy_and_is_restored(shop, nas):
    rows = shop.counts()
    names = [shop.new_set(), shop.new_set()]
    nas.copied()
    shop.lose_sets()
    event = nas.run("fetch")
    assert event["event"] == "done" and event["set"]["name"] == names[1], event
    assert event["set"]["pinned"] is True
    assert nas.run("fetch", set=names[0])["set"]["name"] == names[0]
    assert shop.expect_sound() == 2
    expect_failed(nas.run("fetch", set=names[0]), "already")
    target = f"{shop.database}_home"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    assert shop.run("restore", to=target)["event"] == "done"
    assert shop.counts(target) == rows


def test_a_copy_that_is_damaged_does_not_come_home(shop, nas):
    name = shop.new_set()
    nas.copied()
    flip(nas.path / name / "data.dump.zst")
    shop.lose_sets()
    expect_failed(nas.run("fetch", set=name), "copy 'nas'", "hash differs")
    assert shop.names() == []


# ---- by the daemon


def line_of(host, name):
    """What the list says of that set."""
    (line,) = [line for line in host.amyctl("backup", "list", DOMAIN).stdout.splitlines()
               if name in line]
    return line


def test_the_daemon_copies_what_is_made_and_tells_of_it(shop, nas):
    shop.write_yaml("{keep: 3, copies: [{name: nas, directory: %s, keep: 2}]}" % nas.path)
    host = shop.host
    host.start_backup()
    try:
        name = host.amyctl("backup", "now", DOMAIN).stdout.splitlines()[1].split()[0]

        def copy():
            return host.daemon_status("backup")["sites"][0]["backup"]["copies"][0]

        wait_for(lambda: copy()["sets"] == 1 and copy()["missing"] == 0, SOON_S,
                 "the set at its copy")
        check_restorable(nas.path / name)
        assert "here, nas" in line_of(host, name)
        assert json.loads(host.amyctl("backup", "show", DOMAIN).stdout)["copies"] == ["nas"]
        host.start_front()
        host.start_workers(ready=False)
        wait_for(lambda: "copy nas: 1 backups" in host.amyctl("status", check=False).stdout,
                 SOON_S, "a line of the status")
        for daemon in ("front", "workers", "backup"):
            expect_promtool_takes(scrape(host, daemon).text)
        told = metrics(host, "backup")
        assert value(told, "amy_backup_copy_missing", site=DOMAIN, copy="nas") == 0
        assert value(told, "amy_backup_copy_age_seconds", site=DOMAIN, copy="nas") < 600
        assert name in host.amyctl("backup", "verify", DOMAIN, "--copy", "nas").stdout
        figures = scrape(host, "backup").text
        assert f'amy_backup_copy_missing{{site="{DOMAIN}",copy="nas"}} 0' in figures
        assert f'amy_backup_copy_age_seconds{{site="{DOMAIN}",copy="nas"}}' in figures
        shutil.rmtree(shop.sets / name)
        assert re.search(r"\bnas\b", line_of(host, name)) and "here" not in line_of(host, name)
        target = f"{shop.database}_back"
        shop.query(f"CREATE DATABASE {target}", "postgres")
        host.amyctl("backup", "restore", DOMAIN, name, "--from", "nas", "--to", target)
        assert shop.counts(target) == shop.counts()
        nas.marker.unlink()
        host.amyctl("backup", "now", DOMAIN)
        wait_for(lambda: any("is its disk mounted?" in alarm["message"] for alarm in
                             host.daemon_status("backup")["sites"][0]["backup"]["alarms"]),
                 SOON_S, "an alarm")
        assert host.amyctl("backup", "copy", DOMAIN, "--copy", "nas", check=False).returncode == 1
        nas.mark()
        assert "copied" in host.amyctl("backup", "copy", DOMAIN, "--copy", "nas").stdout
        wait_for(lambda: not host.daemon_status("backup")["sites"][0]["backup"]["alarms"],
                 SOON_S, "the alarm's end")
    finally:
        host.stop()
