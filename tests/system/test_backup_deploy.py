"""A backup before a deployment, by `amyctl backup now SITE --for deploy`: exit 0
only when there is one that is good enough, or the site wants none."""

import json
import os
import pty
import re
import subprocess

import pytest

from backups import DOMAIN, Gate, Proxy, Shop, trusting_server
from hosting.users import clean_environment

SOON_S = 60
NOW = ("backup", "now", DOMAIN, "--for", "deploy")


@pytest.fixture(scope="module")
def server(session_root):
    yield from trusting_server(session_root / "pd")


@pytest.fixture
def shop(new_host, server, django_venv):
    made = Shop(new_host(), server, django_venv)
    made.host.start_backup()
    return made


def test_it_is_made_and_says_why(shop):
    done = shop.host.amyctl(*NOW)
    assert "parsed" in done.stdout and "deploy" in done.stdout
    (one,) = shop.listed()
    assert (one["why"], one["verdict"]) == ("deploy", "parsed")


def test_one_that_was_restored_can_be_asked_for(shop):
    done = shop.host.amyctl(*NOW, "--verdict", "restored")
    assert "restored" in done.stdout
    (one,) = shop.listed()
    assert (one["why"], one["verdict"]) == ("deploy", "restored")
    assert one["restore_ms"] > 0


def test_a_site_that_wants_none_says_so(shop):
    shop.write_yaml("{before_deploy: false}")
    assert shop.host.control("backup", "POST", f"/v1/sites/{DOMAIN}/reload")[0] == 200
    done = shop.host.amyctl(*NOW)
    assert "before_deploy: false" in done.stdout and shop.names() == []
    shop.host.amyctl("backup", "now", DOMAIN)  # by hand all the same
    assert len(shop.listed()) == 1


def test_a_suspect_one_and_none_at_all_fail(shop):
    shop.host.amyctl(*NOW)
    shop.query("DELETE FROM item WHERE id > 100")
    done = shop.host.amyctl(*NOW, check=False)
    assert done.returncode == 1 and "the backup is suspect, not parsed" in done.stderr, done
    assert shop.host.amyctl("backup", "now", DOMAIN).returncode == 0  # nothing was insisted on
    shop.set_url(shop.url(shop.host.root / "nowhere"))
    done = shop.host.amyctl(*NOW, check=False)
    assert done.returncode == 1 and done.stderr, done
    shop.host.stop()
    assert shop.host.amyctl(*NOW, check=False).returncode == 1


@pytest.mark.parametrize("words", [
    ("backup", "now", DOMAIN, "--for", "fun"), ("backup", "now", DOMAIN, "--verdict", "written"),
    ("backup", "list", DOMAIN, "--for", "deploy"), ("backup", "verify", DOMAIN, "--verdict", "parsed"),
])
def test_what_makes_no_sense_is_not_understood(shop, words):
    assert shop.host.amyctl(*words, check=False).returncode == 2


def test_it_waits_for_its_turn(shop):
    """A dump of the schedule, or by hand, is under way: no reason to deploy without."""
    gate = Gate()
    proxy = Proxy(shop.host.root / "x", shop.postgres, shop.host.user, gate)
    shop.set_url(shop.url(proxy.directory))
    first = subprocess.Popen(shop.host.amyctl_argv("backup", "now", DOMAIN))
    assert gate.reached.wait(SOON_S)
    with open(shop.host.root / "out", "w+") as out:
        second = subprocess.Popen(shop.host.amyctl_argv(*NOW), stdout=out, stderr=out)
        refused = shop.host.amyctl("backup", "now", DOMAIN, check=False)
        assert refused.returncode == 1 and "under way" in refused.stderr
        assert second.poll() is None
        gate.opened.set()
        assert first.wait(SOON_S) == 0 and second.wait(SOON_S) == 0
    proxy.close()
    assert sorted(one["why"] for one in shop.listed()) == ["deploy", "manual"]


def test_programs_are_told_line_by_line(shop):
    # More than is read within the quarter of a second between two events.
    shop.query("INSERT INTO item (t) SELECT repeat(md5(i::text), 20) FROM generate_series(1, 100000) i")
    lines = shop.host.amyctl(*NOW, "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert events[-1]["state"] == "done"
    assert events[-1]["result"]["set"]["why"] == "deploy"
    for event in events[:-1]:
        assert event["event"] == "progress" and event["stage"] in {"dump", "verify"}, event
    assert any(event["bytes"] > 0 for event in events[:-1]), events
    assert any(event["tables"] > 0 for event in events[:-1]), events


def test_a_person_sees_bytes_tables_and_the_time_left(shop):
    """On a terminal; what was known of the last one tells what is left."""
    shop.query("INSERT INTO item (t) SELECT repeat(md5(i::text), 20) FROM generate_series(1, 100000) i")
    assert shop.host.amyctl(*NOW).stderr == ""  # no terminal
    ours, theirs = pty.openpty()
    child = subprocess.Popen(shop.host.amyctl_argv(*NOW), stdout=subprocess.DEVNULL,
                             stderr=theirs, env=clean_environment(TERM="xterm"))
    os.close(theirs)
    shown = read_all(ours).decode()
    assert child.wait(SOON_S) == 0
    assert re.search(r"\r\x1b\[Kdump  [\d.]+ MiB of [\d.]+ MiB, table \d of 2, \S+ left", shown), shown
    assert shown.endswith("\r\x1b[K"), shown


def read_all(fd):
    found = b""
    try:
        while piece := os.read(fd, 65536):
            found += piece
    except OSError:  # EIO: the other end is closed
        pass
    os.close(fd)
    return found


def test_a_site_has_so_many_lists_at_a_time(shop):
    """Each is processes of the daemon's; its dumps wait for none of them."""
    gate = shop.site.directory / "gate"
    os.mkfifo(gate)
    gate.chmod(0o644)
    shop.site.write_postactivate({"DATABASE_URL": shop.url()}, f": < {gate}")
    path = f"/v1/sites/{DOMAIN}/jobs"
    asked = [shop.host.control("backup", "POST", path, {"action": "list"}) for _ in range(5)]
    assert [status for status, _ in asked] == [202] * 4 + [409], asked
    refused = shop.host.amyctl("backup", "list", DOMAIN, check=False)
    assert refused.returncode == 1 and "several jobs" in refused.stderr
    status, dump = shop.host.control("backup", "POST", path, {"action": "dump"})
    assert status == 202
    with open(gate, "wb"):
        for job in [job for status, job in asked if status == 202] + [dump]:
            while job["state"] == "running":
                _, job = shop.host.control("backup", "GET", f"{path}/{job['run']}")
            assert job["state"] == "done", job
        shop.host.amyctl("backup", "list", DOMAIN)
