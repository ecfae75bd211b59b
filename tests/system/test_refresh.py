"""amyctl refresh-test: production's data in a test database, never unscrubbed
where anybody looks, and nothing at all when anything fails.
"""

import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from backups import DOMAIN, Shop, trusting_server
from hosting import users, venv
from hosting.services import run_as
from hosting.site import make_directory
from hosting.wait import wait_for
from people import OPERATOR_USER, create_users

TEST = "test.localhost"
NUMBERS = itertools.count(1)
YAML = """\
site: {domain}
user: {user}
stage: {stage}
access: {{allow: [127.0.0.1]}}
database: {{from: DATABASE_URL}}
{more}
"""
SCRUB = """\
#!/bin/sh
# What a management command would do, with psql.
set -eu
exec psql -X -q -v ON_ERROR_STOP=1 -d "$DATABASE_URL" -c "$1"
"""
HARMLESS = "UPDATE item SET t = 'scrubbed'"


@pytest.fixture(scope="session")
def postgres(session_root):
    yield from trusting_server(session_root / "pgr")


class TestSite:
    """The test site beside the shop: its database has two rows of its own."""

    __test__ = False

    def __init__(self, shop, base_venv):
        self.shop = shop
        self.site = shop.host.site(TEST)
        make_directory(self.site.repo)
        venv.build_over(self.site.venv, base_venv)
        self.script = self.site.repo / "scrub"
        self.script.write_text(SCRUB)
        self.script.chmod(0o755)

    def begin(self):
        """With a database of its own for each test."""
        self.database = f"trial{os.getpid()}_{next(NUMBERS)}"
        self.shop.query(f"CREATE DATABASE {self.database}", "postgres")
        self.query("CREATE TABLE item (id serial PRIMARY KEY, t text);"
                   "INSERT INTO item (t) VALUES ('old'), ('older')")
        url = self.shop.url(database=self.database).replace("postgres://", "postgresql://")
        self.site.write_postactivate({"DATABASE_URL": url})
        self.write(scrub=HARMLESS)

    def write(self, scrub=None, stage="test", source=DOMAIN, more=""):
        words = f', scrub: [./scrub, "{scrub}"]' if scrub else ""
        more = f"refresh: {{from: {source}{words}{more}}}" if stage == "test" else ""
        self.site.write_yaml(YAML.format(domain=TEST, user=self.shop.host.user.name, stage=stage,
                                         more=more))
        if getattr(self.shop.host, "backup", None) is not None:
            path = f"/v1/sites/{TEST}/reload"
            status, said = self.shop.host.control("backup", "POST", path, {})
            assert status == 200, said

    def query(self, sql):
        return self.shop.query(sql, self.database)

    def rows(self):
        return self.query("SELECT count(*), min(t), max(t) FROM item")

    def refresh(self, *options, check=False):
        return self.shop.host.amyctl("refresh-test", TEST, "--yes", *options, check=check)

    def databases(self):
        return self.shop.query("SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database"
                               f" WHERE datname LIKE '{self.database}%'", "postgres")

    def expect_refused(self, *words, options=()):
        """Nothing has changed, and the words say why."""
        done = self.refresh(*options)
        assert done.returncode == 1, done
        for word in words:
            assert word in done.stderr, done.stderr
        assert self.rows() == "2|old|older"
        assert self.databases() == self.database, "nothing is left beside it"
        return done.stderr


@pytest.fixture(scope="module")
def shop(host_for_module, postgres, django_venv):
    shop = Shop(host_for_module, postgres, django_venv, rows=50)
    shop.trial = TestSite(shop, django_venv)
    shop.trial.begin()
    shop.host.start_backup()
    shop.host.amyctl("backup", "now", DOMAIN)
    return shop


@pytest.fixture
def trial(shop):
    shop.trial.begin()
    return shop.trial


def test_backup_is_scrubbed_and_takes_the_place(trial, shop):
    name = shop.listed()[0]["name"]
    # Somebody is in the old one, as workers are, and somebody comes meanwhile.
    idle = subprocess.Popen(
        ["psql", "-X", "-q", "-h", str(shop.postgres.directory), "-U", shop.host.user.name,
         "-d", trial.database, "-c", "SELECT pg_sleep(600)"],
        stderr=subprocess.PIPE, text=True)
    wait_for(lambda: shop.query(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{trial.database}'",
                                "postgres") == "1", 30, "somebody is in it")
    done = trial.refresh(check=True)
    assert name in done.stdout
    assert trial.rows() == "50|scrubbed|scrubbed"
    assert trial.databases() == trial.database
    assert "terminating connection" in idle.communicate(timeout=30)[1]
    assert shop.counts()[0].startswith("50|"), "production is as it was"
    assert shop.query("SELECT datacl IS NULL OR has_database_privilege('public', oid, 'CONNECT')"
                      f" FROM pg_database WHERE datname = '{trial.database}'", "postgres") == "t"
    assert not [path.name for path in (trial.site.directory / "DB_backups").iterdir()
                if path.name.startswith("2")], "none of production's is left here"
    log = (trial.site.directory / "logs" / "backup.log").read_text()
    assert f"refreshed from {DOMAIN}, backup 2" in log
    # And once more, in the place of that one.
    trial.refresh(check=True)
    assert trial.rows() == "50|scrubbed|scrubbed" and trial.databases() == trial.database


def test_data_is_nobodys_before_it_is_harmless(trial, shop):
    """The command itself looks: under which name, and who may enter."""
    trial.write(scrub="CREATE TABLE seen AS SELECT current_database()::text AS name,"
                      " has_database_privilege('public', current_database(), 'CONNECT') AS open;"
                      " UPDATE item SET t = 'scrubbed'")
    trial.refresh(check=True)
    assert trial.query("SELECT name, open FROM seen") == f"{trial.database}_amy_new|f"


def properties(trial, shop):
    """What the test database has besides its contents."""
    return [shop.query(f"SELECT {what} FROM pg_database d WHERE datname = '{trial.database}'", "postgres") for what in (
        "datconnlimit",
        "(SELECT string_agg(setrole::regrole::text || ' ' || setconfig::text, ' ' ORDER BY setrole)"
        " FROM pg_db_role_setting WHERE setdatabase = d.oid)",
        "(SELECT string_agg(grantee::text || privilege_type || is_grantable, ' '"
        " ORDER BY grantee, privilege_type)"
        " FROM aclexplode(coalesce(datacl, acldefault('d', datdba))))")]


def test_own_settings_and_rights_stay(trial, shop):
    name, reader = trial.database, f"reader{os.getpid()}"
    shop.query(f"CREATE ROLE {reader} LOGIN; GRANT CONNECT ON DATABASE {name} TO {reader} WITH GRANT OPTION;"
               f"ALTER DATABASE {name} SET search_path TO \"$user\", public, \"Odd one\";"
               f"ALTER DATABASE {name} SET timezone TO 'Asia/Tokyo'; ALTER DATABASE {name} SET app.tenant TO 'a b';"
               f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET statement_timeout TO '77s';"
               f"ALTER DATABASE {name} CONNECTION LIMIT 7", "postgres")
    trial.write(scrub="CREATE TABLE seen AS SELECT current_setting('timezone') AS t; UPDATE item SET t = 'scrubbed'")
    before = properties(trial, shop)
    trial.refresh(check=True)
    assert properties(trial, shop) == before
    assert trial.query("SELECT t FROM seen") == "Asia/Tokyo", "the command works with them"
    shop.query(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC", "postgres")
    before = properties(trial, shop)
    trial.refresh(check=True)
    assert properties(trial, shop) == before


@pytest.mark.parametrize("scrub, words", [
    ("SELECT nonsense", ["scrub"]),
    (None, ["no command makes the data harmless"])])
def test_without_a_good_scrub_nothing_changes(trial, shop, scrub, words):
    trial.write(scrub=scrub)
    trial.expect_refused(*words)


def test_scrub_that_goes_elsewhere_is_found_out(trial):
    trial.expect_refused("did not connect", options=["--scrub", "true"])
    trial.expect_refused("there is no 'nonesuch' in the PATH", options=["--scrub", "nonesuch x"])


def test_production_site_is_never_refreshed(trial, shop):
    trial.write(stage="production")
    trial.expect_refused("is a production site", options=["--from", DOMAIN, "--scrub", "true"])
    assert "is a production site" in shop.host.amyctl(
        "refresh-test", DOMAIN, "--yes", "--from", TEST, "--scrub", "true", check=False).stderr


def test_same_database_is_noticed(trial, shop):
    """Both sites name the same database, by a mistake in one environment."""
    trial.site.write_postactivate({"DATABASE_URL": shop.current_url})
    before = shop.counts()
    done = trial.refresh()
    assert done.returncode == 1 and "have the same database" in done.stderr, done
    assert shop.counts() == before


@pytest.mark.long
def test_primary_of_the_standby_that_is_dumped_is_noticed(trial, shop):
    """Production's backups come from a replica, on which nobody else sees a lock."""
    server, directory = shop.postgres, shop.host.root / "standby"
    make_directory(directory, 0o700, shop.host.user)
    control = [server.bin / "pg_ctl", "-D", directory / "data"]
    run_as(server.user, [server.bin / "pg_basebackup", "-h", server.directory, "-U",
                         server.user.name,
                         "-D", directory / "data", "-R", "-c", "fast", "-X", "stream"]).check_returncode()
    run_as(server.user, [*control, "-w", "-l", directory / "log", "-o",
                         f"-k {directory} -c listen_addresses= -c shared_buffers=16MB",
                         "start"]).check_returncode()
    url = shop.current_url
    try:
        shop.set_url(shop.url(directory))
        trial.site.write_postactivate({"DATABASE_URL": shop.url()})
        before = shop.counts()
        done = trial.refresh()
        assert done.returncode == 1 and "standby" in done.stderr, done
        assert shop.counts() == before
        trial.site.write_postactivate({"DATABASE_URL": shop.url(database=trial.database)})
        trial.refresh(check=True)
        assert trial.rows() == "50|scrubbed|scrubbed", "another database of that server is another one"
    finally:
        shop.set_url(url)
        run_as(server.user, [*control, "-m", "immediate", "stop"])


def test_whose_backup_must_be_there(trial, shop):
    trial.expect_refused("there is no site 'nobody.localhost'", options=["--from", "nobody.localhost"])
    trial.expect_refused("not refreshed from itself", options=["--from", TEST])
    trial.expect_refused("there is no backup", options=["--set", "20200101T000000Z"])
    kept = shop.sets.rename(shop.sets.parent / "kept")
    try:
        trial.expect_refused("there is no verified backup")
    finally:
        if shop.sets.exists():
            shutil.rmtree(shop.sets)
        kept.rename(shop.sets)


def test_copy_of_another_host(trial, shop, tmp_path):
    """Production is nowhere here: what its host has copied to a shared place is."""
    place = shop.host.root / "elsewhere"
    make_directory(place, 0o700, shop.host.user)
    (place / ".amy-copies").touch()
    os.chown(place / ".amy-copies", shop.host.user.uid, shop.host.user.gid)
    shop.write_yaml(f"{{keep: 3, copies: [{{name: away, directory: {place}}}]}}")
    assert shop.host.control("backup", "POST", f"/v1/sites/{DOMAIN}/reload", {})[0] == 200
    shop.host.amyctl("backup", "copy", DOMAIN, "--copy", "away")
    hidden = shop.site.directory.rename(shop.host.root / "hidden")
    try:
        shop.host.control("backup", "POST", f"/v1/sites/{DOMAIN}/reload", {})
        trial.write(scrub=HARMLESS)
        trial.expect_refused("there is no site", "refresh: {copy")
        trial.write(scrub=HARMLESS, more=f", copy: {{directory: {place}}}")
        trial.refresh(check=True)
        assert trial.rows() == "50|scrubbed|scrubbed"
        assert not [path for path in (trial.site.directory / "DB_backups").iterdir()
                    if path.name.startswith("2")], "nothing of it is kept here"
        trial.site.write_postactivate({"DATABASE_URL": shop.current_url})
        done = trial.refresh()
        assert done.returncode == 1 and "another name" in done.stderr
    finally:
        hidden.rename(shop.site.directory)
        shop.host.control("backup", "POST", f"/v1/sites/{DOMAIN}/reload", {})


def test_program_must_say_yes(trial, shop):
    done = shop.host.amyctl("refresh-test", TEST, check=False)
    assert done.returncode == 1 and "--yes" in done.stderr
    assert trial.rows() == "2|old|older"


def test_role_that_may_not_make_databases_is_told_what_it_needs(trial, shop):
    role = f"weak{os.getpid()}"
    shop.query(f"CREATE ROLE {role} LOGIN; ALTER DATABASE {trial.database} OWNER TO {role};", "postgres")
    trial.query(f"ALTER TABLE item OWNER TO {role}")
    url = shop.url(database=trial.database)
    user = url.split("//")[1].split(":")[0]
    trial.site.write_postactivate({"DATABASE_URL": url.replace(f"//{user}:", f"//{role}:")})
    trial.expect_refused("ALTER ROLE", "CREATEDB")


def test_plain_role_that_may_make_databases_is_enough(trial, shop):
    role, name = f"plain{os.getpid()}", trial.database
    shop.query(f"CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE {name} OWNER TO {role};"
               f"ALTER DATABASE {name} SET work_mem TO '5MB'; ALTER DATABASE {name} SET log_statement TO 'ddl';"
               f"ALTER DATABASE {name} CONNECTION LIMIT 9", "postgres")
    trial.query(f"ALTER TABLE item OWNER TO {role}")
    url = shop.url(database=name)
    user = url.split("//")[1].split(":")[0]
    trial.site.write_postactivate({"DATABASE_URL": url.replace(f"//{user}:", f"//{role}:")})
    before = properties(trial, shop)
    trial.refresh(check=True)
    assert trial.rows() == "50|scrubbed|scrubbed"
    after = properties(trial, shop)
    assert (after[0], after[2]) == (before[0], before[2])
    assert "work_mem=5MB" in after[1] and "log_statement" not in after[1]
    assert "log_statement" in log_of(trial), "it is told"


@pytest.mark.root
def test_sites_user_may_not_ask(trial, shop):
    done = shop.host.amyctl("refresh-test", TEST, "--yes", user=shop.host.user, check=False)
    assert done.returncode == 1
    assert trial.rows() == "2|old|older"


def begin_endless(trial, shop):
    """A refresh whose command does not end."""
    trial.write(scrub="SELECT pg_sleep(600)")
    status, _ = shop.host.control("backup", "POST", f"/v1/sites/{TEST}/refresh", {})
    assert status == 202
    wait_for(lambda: shop.query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%'"
                                f" AND datname = '{trial.database}_amy_new'", "postgres") == "1",
             60, "it scrubs")


def log_of(trial):
    return (trial.site.directory / "logs" / "backup.log").read_text()


def test_stop_drops_what_is_not_harmless_yet(trial, shop):
    begin_endless(trial, shop)
    shop.host.backup.stop()
    try:
        assert trial.databases() == trial.database
        assert trial.rows() == "2|old|older"
        assert "not refreshed" in log_of(trial).splitlines()[-1]
    finally:
        shop.host.start_backup()


def test_what_a_killed_job_leaves_is_swept(trial, shop):
    """Nobody has to refresh again for that."""
    begin_endless(trial, shop)
    os.kill(int(job_of(shop)), signal.SIGKILL)
    wait_for(lambda: trial.databases() == trial.database, 60, "it is dropped")
    wait_for(lambda: "what it left is dropped" in log_of(trial), 30, "the log says so")
    assert trial.rows() == "2|old|older"
    note = trial.site.directory / "DB_backups" / ".refreshing"
    wait_for(lambda: not note.exists(), 30, "that is all")
    trial.write(scrub=HARMLESS)
    wait_for(lambda: trial.refresh().returncode == 0, 60, "no job is in the way")
    assert not note.exists()


@pytest.mark.parametrize("end", ["exit 0", "exit 3", "wait"])
def test_what_the_command_started_ends_with_it(trial, shop, end):
    """It has production's rows, and would meet the next refresh's database."""
    trial.write(scrub=HARMLESS, more="" if end != "wait" else ", timeout: 3s")
    marks = shop.host.root / f"marks{next(NUMBERS)}"
    make_directory(marks, 0o700, shop.host.user)
    mark = marks / "started"
    trial.script.write_text(f'#!/bin/sh\nsleep 600 & echo $! > {mark}\n'
                            f'psql -X -q -d "$DATABASE_URL" -c "$1"\n{end}\n')
    try:
        assert trial.refresh().returncode == (0 if end == "exit 0" else 1)
        pid = int(mark.read_text())
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), 30, "it has ended")
    finally:
        trial.script.write_text(SCRUB)


@pytest.mark.root
def test_group_of_admins_may_refresh_as_root_wrote_it_down(trial, shop):
    create_users()
    operator = users.User.named(OPERATOR_USER)

    def refresh(*options):
        return shop.host.amyctl("refresh-test", TEST, "--yes", *options, user=operator, check=False)

    for options in (["--scrub", "id"], ["--from", "other.localhost"]):
        done = refresh(*options)
        assert done.returncode == 1 and "only root may name another" in done.stderr, done
    assert trial.rows() == "2|old|older"
    assert refresh("--from", DOMAIN).returncode == 0
    assert trial.rows() == "50|scrubbed|scrubbed"


def test_rows_are_not_quoted_in_the_log(trial, shop):
    trial.write(scrub="ALTER TABLE item ALTER t TYPE int USING t::int")
    said = trial.expect_refused("invalid input syntax")
    row = said.split('integer: "')[1].split('"')[0][:8]
    assert row and row not in log_of(trial)
    assert "scrub failed with status" in log_of(trial).splitlines()[-1]


THIEF = """\
import ctypes, os, sys
job = os.pidfd_open(int(sys.argv[1]))
print([fd for fd in range(64) if ctypes.CDLL(None).syscall(438, job, fd, 0) >= 0])
"""


def job_of(shop):
    """The process that refreshes."""
    master = shop.host.backup.pid
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    jobs = [pid for pid in children if "--job" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(jobs) == 1, jobs
    return jobs[0]


def test_others_of_the_site_get_nothing_out_of_the_job(trial, shop):
    begin_endless(trial, shop)
    try:
        done = run_as(shop.host.user, ["python3", "-c", THIEF, job_of(shop)])
        assert (done.returncode, done.stdout) == (0, "[]\n"), done
    finally:
        shop.host.backup.stop()
        shop.host.start_backup()


def test_drop_does_not_hang_on_one_session(trial, shop):
    """The command, of the same role, ends every other session, ours too."""
    trial.write(scrub="SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                      " WHERE pid <> pg_backend_pid() AND usename = current_user; SELECT nonsense")
    trial.expect_refused("scrub")


def test_refresh_that_is_killed_leaves_the_old_one_and_the_next_one_sweeps(trial, shop):
    begin_endless(trial, shop)
    shop.host.backup.kill()
    assert trial.rows() == "2|old|older"
    shop.host.start_backup()
    trial.write(scrub=HARMLESS)
    wait_for(lambda: trial.refresh().returncode == 0, 60, "nothing of the other one is in the way")
    assert trial.rows() == "50|scrubbed|scrubbed"
    assert trial.databases() == trial.database
