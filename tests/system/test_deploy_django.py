"""Deployments of the demo's site: PostgreSQL, Redis, migrations, a backup, rq."""

import json
import re
import subprocess

import pytest

from deploying import DJANGO_STEPS, Deployments, Repository, deploy_lines, write_settings
from hosting import walk
from hosting.host import Host
from hosting.load import PlainLoad
from hosting.users import clean_environment
from hosting.wait import wait_for
from releasing import expect_whole
from support import bake_shortly, close_host

SOON_S = 90

MIGRATION = """\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pages", "{after}")]
    operations = [migrations.AddField("entry", "{field}", models.TextField(null=True))]
"""


class Demo(Deployments):
    def add_migration(self, name, field):
        """An additive one behind all that there are; the old code gets on with it."""
        directory = self.repository.directory / "pages/migrations"
        after = max(path.stem for path in directory.glob("0*.py"))
        self.repository.write(f"pages/migrations/{name}.py", MIGRATION.format(after=after, field=field))
        return self.repository.commit(name)

    def columns(self, postgres):
        return postgres.query("SELECT column_name FROM information_schema.columns "
                              "WHERE table_name = 'pages_entry'").split()

    def write_deploy(self, more):
        self.site.write_yaml(self.yaml + deploy_lines(self.repository, more, DJANGO_STEPS))

    def gate(self):
        (site,) = [one for one in self.host.status()["sites"] if one["site"] == self.domain]
        return site["gate"]["state"]


@pytest.fixture(scope="module")
def demo(session_root, counter, django_venv, postgres, redis):
    host = Host(session_root / f"h{next(counter)}")
    try:
        repository = Repository(host.root / "source", django_venv)
        repository.add_demo()
        site = host.site("demo.localhost")
        site.make_private()
        write_settings(site, {
            "DJANGO_SECRET_KEY": site.read_secret_key(), "DJANGO_ALLOWED_HOSTS": site.domain,
            "DATABASE_URL": postgres.url, "AMY_REDIS_URL": redis.url,
            "DJANGO_STATIC_ROOT": str(site.static), "DJANGO_MEDIA_ROOT": str(site.private)})
        made = Demo(host, site, repository)
        made.yaml = bake_shortly(site.sample_yaml()).replace("http: redirect ", "http: serve ")
        made.write_deploy("")
        host.start_front()
        host.start_workers(ready=False)
        host.start_backup(ready=False)
        wait_for(lambda: host.daemon_status("workers"), SOON_S, "amy-workers answers")
        wait_for(lambda: host.daemon_status("backup"), SOON_S, "amy-backup answers")
        made.deploy()
        wait_for(lambda: made.serving, SOON_S, "the first release serves")
        expect_whole(host, site.domain)
        yield made
    finally:
        close_host(host)


def test_a_migration_closes_and_has_its_backup(demo, postgres):
    before = demo.link
    demo.add_migration("0101_mood", "mood")
    done = demo.deploy("--json")
    events = demo.events(done)
    end = events[-1]
    assert end["good"] and end["served"] and end["previous"] == before, end
    assert "mood" in demo.columns(postgres)
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert "pages.0101_mood" in notes
    listed = json.loads(demo.run("backup", "list", demo.domain, "--json").stdout)
    assert end["backup"] and end["backup"] in json.dumps(listed)
    assert demo.gate() == "open" and demo.serving == demo.link.rpartition("/")[2]
    log = [event["step"] for event in events if event["event"] == "finished"]
    assert log.index("backup") < log.index("close") < log.index("migrate") < log.index("switch")


@pytest.mark.long
def test_without_one_it_stays_open(demo):
    demo.repository.commit("nothing much")
    events = demo.events(demo.deploy("--json"))
    texts = [(event["step"], event["text"]) for event in events if event["event"] == "note"]
    assert ("close", "not needed") in texts and ("pending", "no migration is pending") in texts


@pytest.mark.long
def test_a_migration_that_fails_leaves_the_old_one(demo, postgres):
    before = demo.link
    demo.add_migration("0102_broken", "id")  # there is one of that name
    done = demo.deploy(check=False)
    assert done.returncode == 1 and "migrate" in done.stderr, done
    assert demo.link == before and demo.gate() == "open"
    assert demo.serving == before.rpartition("/")[2]
    assert "the backup before it is" in done.stderr
    demo.repository.undo()


def test_a_lock_that_somebody_holds_is_not_waited_for(demo, postgres):
    before = demo.link
    demo.write_deploy("gate: none, lock_timeout: 200ms, lock_tries: 2")
    demo.add_migration("0103_locked", "locked")
    holder = subprocess.Popen(
        ["setpriv", f"--reuid={postgres.user.uid}", f"--regid={postgres.user.gid}", "--clear-groups",
         postgres.bin / "psql", "-X", "-h", postgres.directory, "-d", "guestbook"]
        if postgres.user.uid else [postgres.bin / "psql", "-X", "-h", postgres.directory, "-d", "guestbook"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment())
    try:
        holder.stdin.write("BEGIN; LOCK TABLE pages_entry IN ACCESS SHARE MODE; SELECT 'held';\n")
        holder.stdin.flush()
        while "held" not in holder.stdout.readline():
            pass
        done = demo.deploy(check=False)
    finally:
        holder.stdin.close()
        holder.wait(SOON_S)
    assert done.returncode == 1 and "holds a lock" in done.stderr and "2 tries" in done.stderr, done
    assert "once more" in done.stdout and demo.link == before
    assert "locked" not in demo.columns(postgres)
    demo.deploy()  # nobody holds it now
    assert "locked" in demo.columns(postgres) and demo.serving == demo.link.rpartition("/")[2]
    demo.write_deploy("")


@pytest.mark.long
def test_what_was_closed_stays_closed(demo):
    demo.run("maintenance", "on", demo.domain)
    demo.add_migration("0104_closed", "closed")
    done = demo.deploy()
    assert "stays so" in done.stdout and demo.gate() == "closed"
    demo.run("maintenance", "off", demo.domain)


@pytest.mark.long
def test_queues_are_suspended_and_go_on(demo, redis):
    demo.write_deploy("rq: {suspend: true, drain: 20s}, "
                      "before: [], after: [{name: look, user: site, run: [python, -c, 'import os, redis; "
                      "print(\"suspended:\", redis.Redis.from_url(os.environ[\"AMY_REDIS_URL\"])"
                      ".exists(\"rq:suspended\"))']}]")
    demo.repository.commit("with queues")
    done = demo.deploy("--json")
    steps = [event["step"] for event in demo.events(done) if event["event"] == "finished"]
    assert steps.index("suspend") < steps.index("close") < steps.index("migrate") < steps.index("reload") < steps.index("resume")
    assert "suspended: 0" in done.stdout
    # What a person has suspended stays so.
    redis.command("SET", "rq:suspended", "1")
    demo.repository.commit("by hand")
    done = demo.deploy()
    assert "stays so" in done.stdout and redis.command("GET", "rq:suspended").endswith("1")
    redis.command("DEL", "rq:suspended")
    demo.write_deploy("")


def test_rollback_is_quick_and_nobody_notices(demo):
    demo.add_migration("0105_late", "late")
    demo.deploy()
    left = demo.link
    with PlainLoad(demo.host, demo.domain, ["/"], 4, rate=50) as load:
        done = demo.rollback("--json")
        report = load.stop()
    end = demo.events(done)[-1]
    assert end["good"] and demo.link != left, end
    assert report.lost == 0 and set(report.by_status) == {200}, report
    warnings = [event["text"] for event in demo.events(done) if event["event"] == "warning"]
    assert any("pages.0105_late" in text for text in warnings), warnings
    assert demo.serving == demo.link.rpartition("/")[2]
    assert end["took_ms"] < 30000  # 3 s on a machine that does nothing else


def assets_of(demo):
    """What a page that is open now will ask for: names with hashes."""
    page = demo.host.get(demo.domain, "/", tls=False).body.decode()
    return sorted(set(re.findall(r'/static/[^"]+', page)))


def asked(host):
    """Requests that the front processes have had."""
    return sum(process["requests"] for process in walk.merged(host.status(), "processes"))


@pytest.mark.parametrize(
    "requests", [20_000, pytest.param(200_000, marks=pytest.mark.long)])
def test_nobody_notices_a_deployment(demo, postgres, requests):
    """Without a migration and with an additive one, in turns, until so many have asked: for the page and for
    what the page as it was before brings along."""
    demo.write_deploy("gate: none")
    assets = assets_of(demo)
    assert assets
    count = 0
    begin = asked(demo.host)
    with PlainLoad(demo.host, demo.domain, ["/healthz", *assets], 8) as load:
        while count < 2 or asked(demo.host) - begin < requests:
            field = f"load_{requests}_{count}"
            demo.repository.append("pages/static/pages/site.css", f"/* {field} */\n")
            if count % 2 == 1:
                demo.add_migration(f"02{count:02}_{field}", field)
            else:
                demo.repository.commit(field)
            demo.deploy()
            assert (field in demo.columns(postgres)) == (count % 2 == 1)
            count += 1
        report = load.stop()
    assert report.lost == 0 and set(report.by_status) == {200}, report
    assert report.answered >= requests and len(report.paths) == 1 + len(assets)
    assert set(assets) != set(assets_of(demo)), "the new pages name another style sheet"
    demo.write_deploy("")


@pytest.mark.parametrize("step", [
    "suspend", pytest.param("backup", marks=pytest.mark.long), pytest.param("close", marks=pytest.mark.long),
    "migrate", pytest.param("switch", marks=pytest.mark.long), pytest.param("resume", marks=pytest.mark.long),
    pytest.param("open", marks=pytest.mark.long)])
def test_killed_at(demo, redis, step):
    """Visitors meet the page while the site is closed, and nothing else; the next command opens it, and rq
    goes on."""
    before = demo.link
    demo.write_deploy("gate: closed, rq: {suspend: true, drain: 20s}")
    demo.repository.commit(f"killed at {step}")
    with PlainLoad(demo.host, demo.domain, ["/healthz", "/"], 4, rate=50) as load:
        child = subprocess.Popen(demo.host.amyctl_argv("deploy", demo.domain, "--json"),
                                 stdout=subprocess.PIPE, text=True)
        for line in child.stdout:
            if json.loads(line).get("event") == "begun" and json.loads(line)["step"] == step:
                break
        child.kill()
        child.wait(SOON_S)
        child.stdout.close()
        demo.deploy("--recover")
        report = load.stop()
    assert report.lost == 0 and set(report.by_status) <= {200, 503}, report
    assert demo.gate() == "open" and redis.command("EXISTS", "rq:suspended").endswith("0")
    assert demo.journal is None and demo.serving == demo.link.rpartition("/")[2]
    assert (demo.link == before) == (step in {"suspend", "backup", "close", "migrate", "switch"})
    demo.write_deploy("")


@pytest.mark.parametrize("step, breaks, said", [
    ("collectstatic", ("pages/static/pages/site.css", "\na { background: url(no-such.png) }\n"), "no-such.png"),
    ("pending", ("pages/migrations/0300_bad.py", "raise RuntimeError('no migration')\n"), "no migration")])
def test_failure_of_django_leaves_the_old_one(demo, step, breaks, said):
    before, releases = demo.link, demo.releases
    demo.repository.append(*breaks)
    demo.repository.commit(f"breaks {step}")
    with PlainLoad(demo.host, demo.domain, ["/healthz"], 4, rate=50) as load:
        done = demo.deploy(check=False)
        report = load.stop()
    demo.repository.undo()
    assert done.returncode == 1 and f" {step}: " in done.stderr and said in done.stdout + done.stderr, done
    assert report.lost == 0 and set(report.by_status) == {200}, report
    assert (demo.link, demo.releases, demo.journal) == (before, releases, None)


def test_no_backup_no_deployment(demo, postgres):
    before = demo.link
    demo.host.backup.stop()
    done = demo.deploy(check=False)
    assert done.returncode == 1 and "amy-backup" in done.stderr, done
    demo.host.start_backup(ready=False)
    wait_for(lambda: demo.host.daemon_status("backup"), SOON_S, "amy-backup answers")
    assert demo.link == before and demo.journal is None
