"""SIGUSR2 to amy-backup: a job under way ends first."""

import signal
import subprocess

import pytest
from backups import DOMAIN, Shop, trusting_server
from hosting.users import as_user, clean_environment
from hosting.wait import wait_for
from upgrading import NEW, SOON_S, Installed, expect_nothing_leaked, held, upgrade


@pytest.fixture(scope="module")
def server(session_root):
    yield from trusting_server(session_root / "pu")


@pytest.fixture
def shop(new_host, server, django_venv):
    host = new_host()
    host.installed = Installed(host.root).use_for(host)
    made = Shop(host, server, django_venv)
    host.start_backup()
    return made


def begin(shop):
    status, job = shop.host.control("backup", "POST", f"/v1/sites/{DOMAIN}/jobs", {"action": "dump"})
    assert status == 202, job
    return job


def state_of(shop, job):
    return shop.host.control("backup", "GET", f"/v1/sites/{DOMAIN}/jobs/{job['run']}")[1]["state"]


def test_job_under_way_ends_first(shop):
    host = shop.host
    holder = subprocess.Popen(
        as_user(shop.host.user, ["psql", "-qAtX", "-h", shop.postgres.directory, "-p",
                                 shop.postgres.settings["port"], "-d", shop.database]),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment(), cwd="/")
    holder.stdin.write("BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n")
    holder.stdin.flush()
    assert holder.stdout.readline().strip() == "held"
    job = begin(shop)
    host.installed.install(NEW)
    before = held(host.backup.pid)
    host.backup.send(signal.SIGUSR2)
    wait_for(lambda: host.daemon_status("backup")["upgrade"]["under_way"], SOON_S, "it waits")
    assert state_of(shop, job) == "running" and host.daemon_status("backup")["version"] == "0.1.0"
    holder.stdin.close()
    holder.wait(SOON_S)
    wait_for(lambda: (host.daemon_status("backup") or {}).get("version") == "0.1.1", SOON_S,
             "it is the new release")
    assert host.backup.code is None and len(shop.listed()) == 1
    expect_nothing_leaked(host.backup, before)
    shop.host.amyctl("backup", "now", DOMAIN)
    assert len(shop.listed()) == 2


def test_bad_program_is_refused(shop):
    shop.host.installed.break_program("amy-backup", b"#!/bin/sh\necho no; exit 1\n")
    done = upgrade(shop.host, shop.host.backup, "backup")
    assert "exit 1" in done["refusal"]
    shop.host.amyctl("backup", "now", DOMAIN)
