"""Backups: made, read through, restored, thinned out; and everything that is
bad for them. Issue: a backup with a verdict."""

import json
import os
import shutil
import signal
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from backups import (DOMAIN, GOOD, PASSWORD, Gate, Proxy, Shop, check_restorable, cut_after,
                     expect_failed, last_event, proxies, trusting_server)
from hosting.services import free_port
from hosting.users import User, as_user, clean_environment
from hosting.wait import wait_for
from support import children_of, command_line, status_of_process


@pytest.fixture(scope="session")
def postgres(session_root):
    """A server of ours, through which proxies may come."""
    yield from trusting_server(session_root / "pg")


@pytest.fixture
def shop(new_host, postgres, django_venv):
    return Shop(new_host(), postgres, django_venv)


@pytest.fixture
def proxy(shop):
    """A function: a proxy that the site uses from now on."""
    yield from proxies(shop)


# ---- the good days


def test_a_backup_is_made_proven_and_restored_by_amyctl(shop):
    shop.host.start_backup()
    shown = shop.host.amyctl("backup", "now", DOMAIN).stdout
    assert "parsed" in shown and "1002" in shown
    name = shown.splitlines()[1].split()[0]
    # At once, and where nothing else of ours runs.
    assert name in shop.host.amyctl("backup", "check", DOMAIN).stdout
    assert name in shop.host.amyctl("status").stdout
    assert name in shop.host.amyctl("backup", "list", DOMAIN).stdout
    manifest = json.loads(shop.host.amyctl("backup", "show", DOMAIN).stdout)
    assert manifest["name"] == name and manifest["rows"] == 1002
    assert {table["name"]: table["rows"] for table in manifest["tables"]} == {
        "public.item": 1000, 'public."Odd name"': 2}
    verified = shop.host.amyctl("backup", "verify", DOMAIN, name, "--drill").stdout
    assert "restored" in verified
    target = f"{shop.database}_again"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    shop.host.amyctl("backup", "restore", DOMAIN, "--to", target)
    assert shop.counts(target) == shop.counts()
    status = shop.host.daemon_status("backup")["sites"][0]["backup"]
    assert status["good"]["name"] == name and status["good"]["restore_ms"] > 0


def test_a_set_is_restored_by_the_programs_of_the_distribution(shop):
    assert shop.run("dump")["set"]["verdict"] == "parsed"
    (path,) = shop.sets.iterdir()
    check_restorable(path)
    target = f"{shop.database}_plain"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    shell = 'set -o pipefail; zstd -dcq "$0" | pg_restore --exit-on-error -h "$1" -U "$2" -d "$3"'
    argv = ["bash", "-c", shell, path / "data.dump.zst", shop.postgres.directory,
            shop.host.user.name, target]
    subprocess.run(as_user(shop.host.user, argv), check=True, env=clean_environment(), cwd="/")
    assert shop.counts(target) == shop.counts()
    roles = (path / "roles.sql").read_text()
    assert f'CREATE ROLE "{shop.host.user.name}"' in roles


def test_the_database_is_found_by_variables_and_by_a_service(shop):
    variables = {"PGHOST": str(shop.postgres.directory), "PGUSER": shop.host.user.name,
                 "PGDATABASE": shop.database}
    plain = {name: value for name, value in shop.environment().items() if name != "DATABASE_URL"}
    assert shop.run("dump", environment=plain | variables, **{"from": "PG"})["event"] == "done"
    service = shop.host.root / "pg_service.conf"
    service.write_text(f"[shop]\nhost={variables['PGHOST']}\nuser={variables['PGUSER']}\n"
                       f"dbname={shop.database}\nkeepalives_idle=20\n")
    service.chmod(0o644)
    event = shop.run("dump", environment=plain | {"PGSERVICEFILE": str(service)},
                     **{"from": "service=shop"})
    assert event["event"] == "done" and event["set"]["rows"] == 1002
    expect_failed(shop.run("dump", environment=plain), "no DATABASE_URL")


def service_environment(shop):
    """A file that names the shop's database, and what a site without
    DATABASE_URL has."""
    service = shop.host.root / "pg_service.conf"
    service.write_text(f"[shop]\nhost={shop.postgres.directory}\nuser={shop.host.user.name}\n"
                       f"dbname={shop.database}\n")
    service.chmod(0o644)
    plain = {name: value for name, value in shop.environment().items() if name != "DATABASE_URL"}
    return plain | {"PGSERVICEFILE": str(service)}


def test_a_service_does_not_say_where_a_restore_goes(shop):
    environment = service_environment(shop)
    assert shop.run("dump")["event"] == "done"
    target = f"{shop.database}_again"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    event = shop.run("restore", environment=environment, to=target, **{"from": "service=shop"})
    assert event["event"] == "done", event
    assert shop.counts(target) == shop.counts()


def test_a_url_wins_over_a_service(shop):
    environment = service_environment(shop)
    target = f"{shop.database}_other"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    shop.query("CREATE TABLE lone (i int); INSERT INTO lone VALUES (1)", target)
    event = shop.run("dump", environment=environment | {
        "PGSERVICE": "shop", "DATABASE_URL": shop.url(database=target)})
    assert event["event"] == "done" and event["set"]["rows"] == 1, event


def test_a_drill_stays_away_from_the_sites_server(shop):
    environment = service_environment(shop) | {"PGSERVICE": "shop"}
    role = f"gone_{shop.database}"
    shop.query(f"CREATE ROLE {role}")
    assert shop.run("dump")["event"] == "done"
    shop.query(f"DROP ROLE {role}")
    event = shop.run("drill", environment=environment, **{"from": "PG"})
    assert shop.query(f"SELECT count(*) FROM pg_roles WHERE rolname = '{role}'") == "0"
    assert event["event"] == "done" and event["set"]["verdict"] == "restored", event
    again = shop.run("verify", set=event["set"]["name"])
    assert again["event"] == "done", again  # it was read, not restored: the next drill is due when it was
    assert again["set"]["verdict"] == "restored" and again["set"]["verified"] == event["set"]["verified"]


def test_what_a_role_prefers_is_no_fault_of_the_set(shop):
    """The roles are made in the throw-away cluster as they are on the server."""
    shop.query("CREATE ROLE postgres SUPERUSER LOGIN; ALTER ROLE postgres SET statement_timeout = 1;"
               "ALTER ROLE postgres SET default_transaction_read_only = on", "postgres")
    try:
        assert shop.run("dump")["event"] == "done"
        event = shop.run("drill")
    finally:
        shop.query("DROP ROLE postgres", "postgres")
    assert event["event"] == "done" and event["set"]["verdict"] == "restored", event


def test_roles_come_without_passwords_where_those_are_denied(shop):
    """As RDS does, whose master is no superuser."""
    role = f"r_{shop.database}"
    shop.query(f"CREATE ROLE {role} LOGIN PASSWORD 'hidden';"
               f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};"
               f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}")
    shop.set_url(shop.url().replace(f"//{shop.host.user.name}:", f"//{role}:"))
    event = shop.run("dump")
    assert event["event"] == "done" and event["set"]["verdict"] == "parsed", event
    (path,) = shop.sets.iterdir()
    roles = (path / "roles.sql").read_text()
    assert f"CREATE ROLE {role};" in roles and "SCRAM" not in roles


def test_a_full_database_is_not_restored_into(shop):
    shop.run("dump")
    before = shop.counts()
    expect_failed(shop.run("restore"), "not empty", "public.")
    assert shop.counts() == before


@pytest.mark.parametrize("made", [
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE mine AS ENUM ('a')", "CREATE TYPE mine AS (a int)", "CREATE DOMAIN mine AS int",
    "SELECT lo_create(0)",
], ids=["function", "enum", "composite", "domain", "large-object"])
def test_a_database_without_tables_may_be_full_too(shop, made):
    shop.run("dump")
    target = f"{shop.database}_again"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    shop.query(made, target)
    expect_failed(shop.run("restore", to=target), "not empty")


def test_a_restore_that_is_cut_leaves_the_database_empty(shop, proxy):
    shop.query("INSERT INTO item (t) SELECT repeat(md5(i::text), 10) FROM generate_series(1, 20000) i")
    shop.run("dump")
    target = f"{shop.database}_again"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    said = []

    def ask(data):
        said.append(len(data))
        return data if sum(said) < 1_000_000 else None  # well among the rows

    cut = Proxy(shop.host.root / "cut", shop.postgres, shop.host.user, ask=ask)
    shop.set_url(shop.url(cut.directory))
    expect_failed(shop.run("restore", to=target), "pg_restore")
    cut.close()
    shop.set_url(shop.url())
    assert shop.run("restore", to=target)["event"] == "done"  # it was empty
    assert shop.counts(target) == shop.counts()


def test_large_objects_and_extensions_come_along(shop):
    shop.query("CREATE EXTENSION citext; CREATE TABLE kept (name citext, picture oid);"
               "INSERT INTO kept VALUES ('One', lo_from_bytea(77, 'a large one'))")
    event = shop.run("dump")
    assert event["set"]["verdict"] == "parsed"
    manifest = json.loads((shop.sets / event["set"]["name"] / "manifest.json").read_text())
    assert manifest["large_objects"] == 1 and "citext 1." in manifest["extensions"], manifest
    assert manifest["collation"].startswith("C.UTF-8"), manifest
    assert manifest["lsn"] and manifest["duration_ms"] > 0, manifest
    assert manifest["server"].startswith("15.") and " 15." in manifest["dump"], manifest
    target = f"{shop.database}_again"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    assert shop.run("restore", to=target)["event"] == "done"
    found = shop.query("SELECT convert_from(lo_get(picture), 'UTF8') FROM kept WHERE name = 'oNE'", target)
    assert found == "a large one"
    assert shop.run("drill")["set"]["verdict"] == "restored"


def test_a_note_in_a_set_does_not_stop_what_follows(shop):
    """It is a person's: it stays, and is no reason to dump once more."""
    shop.run("dump")
    (path,) = shop.sets.iterdir()
    (path / "note.txt").write_text("mine")
    event = shop.run("dump", count=1)
    assert event["event"] == "done", event
    assert (shop.sets / f"{path.name}.partial" / "note.txt").read_text() == "mine"


def test_the_rules_decide_what_stays(shop):
    for _ in range(5):
        assert shop.run("dump")["event"] == "done"
    assert len(shop.listed()) == 3
    oldest = shop.listed()[-1]["name"]
    assert shop.run("pin", set=oldest)["event"] == "done"
    (shop.sets / "by-hand.sql").write_text("mine")
    would = shop.run("prune", dry_run=True, count=1)["removed"]
    assert len(would) == 1 and len(shop.listed()) == 3
    assert shop.run("prune", count=1)["removed"] == would
    assert oldest in shop.names() and "by-hand.sql" in shop.names()
    assert shop.run("list")["foreign"] == 1
    assert shop.expect_sound() == 2


def test_the_password_is_in_no_argument_log_or_manifest(shop, proxy):
    gate = Gate()
    proxy(gate)
    child = shop.start("dump")
    assert gate.reached.wait(60)
    said = b"".join(arguments_of_everybody())
    gate.opened.set()
    event = last_event(child.communicate(timeout=60)[0])
    assert event["event"] == "done"
    assert b"pg_dump" in said and PASSWORD.encode() not in said
    expect_failed(shop.run("dump", environment=shop.environment() | {
        "DATABASE_URL": f"postgres://x:{PASSWORD}%zz@/x"}), "DATABASE_URL")
    for path in [*shop.sets.rglob("*.json"), shop.site.logs / "backup.log"]:
        assert PASSWORD not in path.read_text(), path


def arguments_of_everybody():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            yield Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            pass


# ---- the server


def test_no_server_and_one_that_refuses(shop):
    shop.set_url(shop.url(shop.host.root / "nowhere"))
    expect_failed(shop.run("dump"), "nowhere")
    shop.set_url(shop.url(database="no_such_database"))
    expect_failed(shop.run("dump"), "no_such_database")
    role = f"out_{shop.database}"
    shop.query(f"CREATE ROLE {role} NOLOGIN")
    shop.set_url(shop.url().replace(f"//{shop.host.user.name}:", f"//{role}:"))
    expect_failed(shop.run("dump"), "connecting", "not permitted to log in")
    shop.set_url(f"postgres://x:y@127.0.0.1:{free_port()}/x")
    expect_failed(shop.run("dump"), "Connection refused")
    assert shop.names() == []
    assert "no backup" in (shop.site.logs / "backup.log").read_text()


def test_a_server_that_is_too_new_names_the_package(shop, proxy):
    proxy(lambda data, passed: data.replace(b"server_version\x0015.", b"server_version\x0099."))
    expect_failed(shop.run("dump"), "PostgreSQL 99", "install postgresql-client-99")
    assert shop.names() == []


def test_a_set_of_a_newer_server_names_the_packages(shop):
    """It came from another host: nothing is wrong with it, but here nobody can read it."""
    shop.run("dump")
    (path,) = shop.sets.iterdir()
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"server_number": 990001}))
    expect_failed(shop.run("verify"), "install postgresql-client-99")
    expect_failed(shop.run("drill"), "install postgresql")
    assert [one["verdict"] for one in shop.listed()] == ["parsed"]


def test_a_pooler_is_refused(shop, proxy):
    """What tells it: the process that it names is not the one that answers."""
    def rename(data, passed):
        head, found, tail = data.partition(b"K\x00\x00\x00\x0c")
        return head + found + b"\x00\x00\x00\x01" + tail[4:] if found else data

    proxy(rename)
    expect_failed(shop.run("dump"), "pooler")
    assert shop.names() == []


@pytest.mark.parametrize("limit", [0, 300, 2000, 10000, 20000, 40000, 60000, 80000])
def test_a_connection_that_is_cut_leaves_nothing(shop, proxy, limit):
    proxy(cut_after(limit))
    assert shop.run("dump")["event"] == "failed"
    assert shop.names() == []


def test_a_dump_whose_session_is_ended_leaves_nothing(shop, proxy):
    # More than what lies in sockets: the server is not done when it is ended.
    shop.query("INSERT INTO item (t) SELECT repeat('x', 100) FROM generate_series(1, 50000)")
    gate = Gate()
    proxy(gate)
    child = shop.start("dump")
    assert gate.reached.wait(60)
    shop.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               f" WHERE datname = '{shop.database}' AND application_name LIKE 'amy-backup dump%'")
    gate.opened.set()
    assert last_event(child.communicate(timeout=60)[0])["event"] == "failed"
    assert shop.names() == []


def test_a_pg_dump_that_is_killed_leaves_nothing(shop, proxy):
    gate = Gate()
    proxy(gate)
    child = shop.start("dump")
    assert gate.reached.wait(60)
    (program,) = [pid for pid in children_of(child.pid) if "pg_dump" in command_line(pid)]
    assert os.getpriority(os.PRIO_PROCESS, program) >= 10  # the site comes first
    assert "--lock-wait-timeout=" in command_line(program)
    os.kill(program, signal.SIGKILL)
    expect_failed(last_event(child.communicate(timeout=60)[0]), "pg_dump was ended by signal 9")
    gate.opened.set()
    assert shop.names() == []


def test_a_roles_limits_are_not_for_backups(shop, proxy):
    """What a site has against its own runaway sessions ends neither of ours."""
    gate = Gate()
    proxy(gate)
    shop.query("INSERT INTO item (t) SELECT repeat('x', 100) FROM generate_series(1, 50000)")
    role = f'"{shop.host.user.name}" IN DATABASE {shop.database}'
    for name in ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout",
                 "lock_timeout"):
        shop.query(f"ALTER ROLE {role} SET {name} = '1s'")
    child = shop.start("dump")
    assert gate.reached.wait(60)
    since = time.monotonic()
    wait_for(lambda: time.monotonic() - since > 2.5, 30, "longer than all the limits")
    gate.opened.set()
    event = last_event(child.communicate(timeout=60)[0])
    assert event["event"] == "done" and event["set"]["verdict"] == "parsed", event


def test_a_dump_gives_way_to_others_locks(shop, proxy):
    gate = Gate()
    proxy(gate)
    child = shop.start("dump")
    assert gate.reached.wait(60)
    # Waits for the dump's locks, and would wait as long as the gate is closed.
    began = time.monotonic()
    shop.query("SET lock_timeout = '60s'; ALTER TABLE item ADD z int")
    assert time.monotonic() - began >= 2.9  # a lock that is had sooner is none of its business
    assert not gate.opened.is_set()
    event = last_event(child.communicate(timeout=60)[0])
    expect_failed(event, "gave way")
    assert event["code"] == -9  # AMY_EAGAIN: later again
    assert shop.names() == []


def test_two_hosts_do_not_dump_at_once(shop, proxy, new_host, django_venv):
    gate = Gate()
    proxy(gate)
    child = shop.start("dump")
    assert gate.reached.wait(60)
    other = Shop(new_host(), shop.postgres, django_venv, rows=0)
    other.set_url(shop.url())
    event = expect_failed(other.run("dump"), "already, by amy-backup on ", ", since 20")
    assert event["code"] == -8 and event["elsewhere"]  # AMY_EBUSY: skipped
    # Had it been held for a day, it would be a failure: the server is asked for less.
    soon = Proxy(other.host.root / "x", shop.postgres, other.host.user,
                 ask=lambda data: data.replace(b"interval '1 day'", b"interval '0 day'"))
    other.set_url(shop.url(soon.directory))
    event = expect_failed(other.run("dump"), "never given back, by amy-backup on ", ", since 20")
    assert event["code"] == -17 and "elsewhere" not in event  # AMY_ESTATE
    soon.close()
    other.set_url(shop.url())
    gate.opened.set()
    assert last_event(child.communicate(timeout=60)[0])["event"] == "done"
    assert other.run("dump")["event"] == "done"


# ---- the database


def test_an_empty_database_is_suspect_and_evicts_nobody(shop):
    for _ in range(3):
        assert shop.run("dump")["set"]["verdict"] == "parsed"
    before = set(shop.names())
    shop.query('DROP TABLE item; DROP TABLE "Odd name"')
    event = shop.run("dump")
    assert event["event"] == "done" and event["set"]["verdict"] == "suspect"
    assert "no tables" in event["set"]["reason"]
    assert before < set(shop.names())
    assert event["removed"] == []


def test_a_suspect_one_can_be_accepted(shop):
    shop.run("dump")
    shop.query("DELETE FROM item WHERE id > 100")
    event = shop.run("dump")
    assert event["set"]["verdict"] == "suspect" and "102 rows" in event["set"]["reason"]
    name = event["set"]["name"]
    assert shop.run("accept", set=name)["set"]["verdict"] == "parsed"
    assert shop.run("verify", set=name)["set"]["verdict"] == "parsed"
    assert shop.run("dump")["set"]["verdict"] == "parsed"


def peak_kib(pid):
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("megabytes", [
    96, pytest.param(900, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_huge_value_grows_neither_job_nor_daemon(shop, megabytes):
    """Programs of PostgreSQL hold a value whole, and twice; ours never does."""
    shop.query("INSERT INTO item (t) SELECT string_agg(md5(i::text), '') "
               f"FROM generate_series(1, {megabytes * 1_000_000 // 32}) i")
    shop.host.start_backup()
    child = shop.start("dump")
    most = 0
    for line in child.stdout:
        event = json.loads(line)
        if event["event"] == "progress":
            most = max(most, peak_kib(child.pid))
    child.wait(60)
    assert event["event"] == "done" and event["set"]["verdict"] == "parsed", event
    assert event["set"]["rows"] == 1003
    assert shop.ask("verify")["state"] == "done"
    assert 0 < most < 64 * 1024, most
    assert 0 < peak_kib(shop.host.backup.pid) < 64 * 1024


# ---- the directory


def test_a_directory_that_is_a_link_is_refused(shop):
    shop.sets.rmdir()
    shop.sets.symlink_to("/tmp")
    expect_failed(shop.run("dump"), "symbolic link")


@pytest.mark.root
def test_a_directory_of_another_user_is_refused(shop):
    os.chown(shop.sets, 0, 0)
    expect_failed(shop.run("dump"), "belongs to user 0")
    os.chmod(shop.sets, 0o755)
    expect_failed(shop.run("dump"), "belongs to user 0")


def test_a_directory_that_cannot_be_written_is_told(shop):
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"ro,mode=700,uid={shop.host.user.uid}",
                        "tmpfs", shop.sets], check=True)
        words = ("Read-only",)
    else:
        shop.sets.chmod(0o500)
        words = ("denied",)
    try:
        expect_failed(shop.run("dump"), *words)
        assert shop.names() == []
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", shop.sets], check=True)


@pytest.mark.root
def test_a_full_disk_leaves_what_was_there(shop):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=1m,mode=700,uid={shop.host.user.uid}",
                    "tmpfs", shop.sets], check=True)
    try:
        assert shop.run("dump")["event"] == "done"
        before = shop.names()
        shop.query("INSERT INTO item (t) SELECT md5(random()::text) || md5(random()::text)"
                   " FROM generate_series(1, 100000)")
        expect_failed(shop.run("dump"), "data.dump.zst", "No space left")
        assert shop.names() == before
        assert shop.expect_sound() == 1
        # Not even begun when the last one suggests that it will not fit.
        (shop.sets / "ballast").write_bytes(bytes(800 * 1024))
        shutil.copy("/dev/null", shop.sets / "more")
        set_bytes(shop, 900 * 1024)
        expect_failed(shop.run("dump"), "has room for")
    finally:
        subprocess.run(["umount", shop.sets], check=True)


def set_bytes(shop, size):
    """As if the only set were so large."""
    (path,) = (path for path in shop.sets.iterdir() if path.is_dir())
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][0]["bytes"] = size
    (path / "manifest.json").write_text(json.dumps(manifest))


# ---- what lies there


def spoil_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path):
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize("file, spoil", [
    ("data.dump.zst", spoil_byte), ("data.dump.zst", truncate),
    ("data.dump.zst", lambda path: path.unlink()),
    ("roles.sql", spoil_byte), ("roles.sql", lambda path: path.unlink()),
], ids=["flipped", "cut", "gone", "roles-flipped", "roles-gone"])
def test_a_damaged_set_is_found_out_and_not_restored(shop, file, spoil):
    shop.run("dump")
    (path,) = shop.sets.iterdir()
    spoil(path / file)
    event = expect_failed(shop.run("verify"), "damaged", file)
    assert event["set"]["verdict"] == "damaged"
    target = f"{shop.database}_again"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    expect_failed(shop.run("restore", set=path.name, to=target), "damaged")
    assert shop.query("SELECT count(*) FROM pg_class WHERE relname = 'item'", target) == "0"
    assert [one["verified_set"] for one in shop.listed()] == [False]


@pytest.mark.parametrize("text", ["", "{", "{}", None], ids=["empty", "cut", "bare", "gone"])
def test_a_damaged_manifest_is_listed_and_its_set_stays(shop, text):
    shop.run("dump")
    (path,) = shop.sets.iterdir()
    if text is None:
        (path / "manifest.json").unlink()
    else:
        (path / "manifest.json").write_text(text)
    (one,) = shop.listed()
    assert one["verdict"] == "damaged" and one["reason"]
    for _ in range(4):
        shop.run("dump")
    assert path.name in shop.names()  # nobody's business but a person's
    expect_failed(shop.run("restore", set=path.name))


# ---- the daemon


def test_a_schedule_makes_the_first_one_at_once(shop):
    shop.write_yaml("{every: 1m, keep: 3}")
    shop.host.start_backup()
    wait_for(lambda: [one for one in shop.listed() if one["verdict"] in GOOD], 60, "a backup")
    (one,) = shop.listed()
    assert one["why"] == "schedule" and one["slot"]
    status = wait_for(lambda: (site := shop.host.daemon_status("backup")["sites"][0]["backup"])
                      and site["sets"] == 1 and site, 30, "the daemon knows it")
    assert status["scheduled"] and status["next"]
    # A restart knows from the sets which slot was the last.
    shop.host.backup.stop()
    shop.host.start_backup()
    assert len(shop.listed()) == 1


def begin_schedule(shop):
    """Every minute or so, such that the next slot is as far away as can be."""
    def next_of(seconds):
        shop.write_yaml(f"{{every: {seconds}s, retry: 1s}}")
        assert shop.host.control("backup", "POST", f"/v1/sites/{DOMAIN}/reload")[0] == 200
        return shop.host.daemon_status("backup")["sites"][0]["backup"]["next"]

    next_of(max(range(60, 70), key=next_of))


def test_a_backup_that_failed_is_tried_again_by_itself(shop):
    """For the same slot, when the server is back."""
    shop.set_url(shop.url(shop.host.root / "nowhere"))
    shop.host.start_backup()
    begin_schedule(shop)
    wait_for(lambda: "job=dump" in shop.host.backup.output(), 60, "a failure")
    wait_for(lambda: shop.host.daemon_status("backup")["sites"][0]["backup"]["alarms"], 60, "an alarm")
    back = datetime.now(timezone.utc).isoformat()
    shop.set_url(shop.url())
    wait_for(lambda: [one for one in shop.listed() if one["verdict"] in GOOD], 60, "a backup")
    (one,) = shop.listed()
    assert one["why"] == "schedule" and one["slot"] < back < one["started"], (one, back)
    wait_for(lambda: shop.host.daemon_status("backup")["sites"][0]["backup"]["alarms"] == [], 60,
             "the alarm is over")


def test_an_alarm_is_given_once(shop):
    told = shop.site.directory / "alarms"
    told.mkdir()
    os.chown(told, shop.host.user.uid, shop.host.user.gid)
    shop.write_yaml("{every: 1m, alarm: {command: [/bin/sh, -c, "
                    "'echo \"$0 $1\" >> alarms/told']}}")
    shop.set_url(shop.url(database="no_such_database"))
    shop.host.start_backup()
    text = wait_for(lambda: (told / "told").exists() and (told / "told").read_text(), 60, "an alarm")
    # In our own words: the server's may quote what is nobody else's to read.
    assert text == "failed connecting: does not exist\n"
    path = f"/v1/sites/{DOMAIN}/jobs"
    for _ in range(2):
        assert shop.ask("dump")["state"] == "failed"
    assert (told / "told").read_text() == text
    alarms = shop.host.daemon_status("backup")["sites"][0]["backup"]["alarms"]
    assert [alarm["state"] for alarm in alarms] == ["failed"] and path
    checked = shop.host.amyctl("backup", "check", DOMAIN, check=False)
    assert checked.returncode == 1 and "does not exist" in checked.stderr, checked
    shop.set_url(shop.url())
    assert shop.ask("dump")["state"] == "done"
    wait_for(lambda: shop.host.daemon_status("backup")["sites"][0]["backup"]["alarms"] == [], 30,
             "the alarm is over")


def test_a_monitor_is_told_whatever_stands_still(shop):
    """By another process than the one that makes backups."""
    def check(site=DOMAIN):
        return shop.host.amyctl("backup", "check", site, check=False)

    shop.host.start_backup()
    done = check()
    assert (done.returncode, done.stdout) == (1, "") and "no verified backup" in done.stderr, done
    assert shop.ask("dump")["state"] == "done"
    done = check()
    assert done.returncode == 0 and shop.listed()[0]["name"] in done.stdout and done.stderr == ""
    assert "no such site" in check("other.localhost").stderr
    os.kill(shop.host.backup.pid, signal.SIGSTOP)
    try:
        done = check()
        assert done.returncode == 1 and done.stderr, done
    finally:
        os.kill(shop.host.backup.pid, signal.SIGCONT)
    shop.host.backup.stop()
    done = check()
    assert done.returncode == 1 and "backup" in done.stderr, done


def test_a_zone_that_is_not_there_is_told_to_everybody(shop):
    """The schedule stands still, and all else goes on: also where what it was about is less now."""
    def reload(backup):
        shop.write_yaml(backup)
        return shop.host.control("backup", "POST", f"/v1/sites/{DOMAIN}/reload")

    shop.write_yaml("{copies: [{name: nas, directory: /nowhere}]}")
    shop.host.start_backup()
    assert shop.ask("dump")["state"] == "done"
    status, answer = reload("{at: ['02:30'], zone: Nowhere/Atlantis}")
    assert status == 422 and "Atlantis" in json.dumps(answer), answer
    done = shop.host.amyctl("backup", "check", DOMAIN, check=False)
    assert done.returncode == 1 and "Atlantis" in done.stderr, done
    wait_for(lambda: "alarm on site=shop.localhost state=failed" in shop.host.backup.output(), 30, "an alarm")
    assert shop.host.daemon_status("backup")["sites"][0]["backup"]["copies"] == []
    assert reload("{at: ['02:30'], zone: UTC}")[0] == 200
    wait_for(lambda: shop.host.amyctl("backup", "check", DOMAIN, check=False).returncode == 0, 30,
             "the alarm is over")


def test_a_daemon_that_is_killed_leaves_no_set_and_the_next_one_sweeps(shop, proxy):
    gate = Gate()
    proxy(gate)
    shop.host.start_backup()
    status, _ = shop.host.control("backup", "POST", f"/v1/sites/{DOMAIN}/jobs",
                                  {"action": "dump"})
    assert status == 202 and gate.reached.wait(60)
    shop.host.backup.kill()
    assert [name.endswith(".partial") for name in shop.names()] == [True]
    gate.opened.set()
    shop.set_url(shop.url())
    shop.host.start_backup()
    wait_for(lambda: shop.ask("dump")["state"] == "done", 30, "a backup")
    assert [name.endswith(".partial") for name in shop.names()] == [False]
    assert shop.expect_sound() == 1


@pytest.mark.root
def test_jobs_run_as_the_sites_user_who_may_ask(shop, proxy):
    gate = Gate()
    proxy(gate)
    shop.host.start_backup()
    path = f"/v1/sites/{DOMAIN}/jobs"
    status, job = shop.host.control("backup", "POST", path, {"action": "dump"})
    assert status == 202 and gate.reached.wait(60)
    pid = next(pid for pid in children_of(shop.host.backup.pid)
               if command_line(pid).endswith(" --job"))
    facts = status_of_process(pid)
    assert set(facts["Uid"].split()) == {str(shop.host.user.uid)}
    assert facts["CapPrm"] == facts["CapEff"] == "0000000000000000"
    assert facts["NoNewPrivs"] == "1"
    gate.opened.set()
    wait_for(lambda: shop.host.control("backup", "GET", f"{path}/{job['run']}")[1]["state"] == "done",
             60, "the backup")
    shop.host.amyctl("backup", "list", DOMAIN, user=shop.host.user)
    refused = shop.host.amyctl("backup", "list", DOMAIN, user=User.named("nobody"), check=False)
    assert refused.returncode == 1 and "may" in refused.stderr
    assert oct(shop.sets.stat().st_mode & 0o777) == "0o700"
