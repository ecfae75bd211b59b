"""amy.backup with a real PostgreSQL: by way of amy-backup, and in this process."""

import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from amy import Code, Error, backup, control, status
from amy.backup import Verdict
from backups import DOMAIN, Shop, trusting_server
from hosting.users import as_user


@pytest.fixture(scope="module")
def postgres(session_root):
    yield from trusting_server(session_root / "pg")


@pytest.fixture(scope="module")
def shop(host_for_module, postgres, django_venv):
    shop = Shop(host_for_module, postgres, django_venv)
    host_for_module.start_backup()
    return shop


@pytest.fixture(scope="module")
def backups(shop):
    return backup.of_site(DOMAIN, run_directory=shop.host.run)


@pytest.fixture(scope="module")
def made(backups):
    """The first backup, and the stages that it was seen in."""
    stages = []
    one = backups.make(on_progress=lambda progress: stages.append(progress.stage))
    return one, stages


def refusal(call, *arguments, **options):
    with pytest.raises(Error) as caught:
        call(*arguments, **options)
    return caught.value


def test_one_is_made_and_proven(made):
    one, stages = made
    assert one.verdict is Verdict.PARSED and one.verdict.counts
    assert (one.rows, one.tables, one.why, one.pinned, one.reason) == (1002, 2, "manual", False, "")
    assert one.bytes > 0 and one.duration_s > 0
    assert datetime.now(timezone.utc) - one.started < timedelta(hours=1)
    assert set(stages) <= {"dump", "verify"}


def test_it_is_listed_and_shown(backups, made, shop):
    (shop.sets / "of somebody else").mkdir(exist_ok=True)
    sets = backups.sets()
    assert made[0].name in [one.name for one in sets] and sets.foreign == 1
    manifest = backups.manifest(made[0].name)
    assert manifest["rows"] == 1002
    assert {table["name"] for table in manifest["tables"]} == {"public.item", 'public."Odd name"'}


def test_the_status_has_it(made, shop):
    host = status.read(run_directory=shop.host.run)
    assert host.backup.runs and not host.front.runs
    found = host.site(DOMAIN).backup
    assert found.good == made[0].name and found.known and found.alarms == ()


def test_a_good_one_is_verified_and_pinned(backups, made):
    name = made[0].name
    assert backups.verify(name).verdict is Verdict.PARSED
    assert backups.pin(name).pinned
    assert not backups.unpin(name).pinned


def test_it_is_restored_into_an_empty_database_only(backups, made, shop):
    target = f"{shop.database}_py"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    assert backups.restore(target, made[0].name).name == made[0].name
    assert shop.counts(target) == shop.counts()
    error = refusal(backups.restore, target, made[0].name)
    assert error.message, error
    assert shop.counts(target) == shop.counts()


def test_what_is_not_there(backups, shop):
    assert refusal(backups.verify, "20200101T000000Z").code is Code.ENOTFOUND
    assert refusal(backups.pin, "../../etc").code in (Code.ENOTFOUND, Code.EINVAL)
    other = backup.of_site("other.localhost", run_directory=shop.host.run)
    assert refusal(other.sets).code is Code.ENOTFOUND
    nobody = backup.of_site(DOMAIN, run_directory=shop.host.root)
    assert refusal(nobody.sets).code is Code.ECONN


def test_none_for_a_deployment_where_site_yaml_wants_none(backups, shop):
    reload = ("backup", "POST", f"/v1/sites/{DOMAIN}/reload")
    shop.write_yaml("{keep: 3, before_deploy: false}")
    control.ask(*reload, run_directory=shop.host.run)
    try:
        error = refusal(backups.make, why="deploy")
        assert error.code is Code.ECANCELED and "before_deploy" in error.message
    finally:
        shop.write_yaml("{keep: 3}")
        control.ask(*reload, run_directory=shop.host.run)


def run_here(shop, script):
    """A program of the site's user in the site's environment."""
    head = ("import amy\nfrom amy import backup\n"
            f"backups = backup.in_directory({str(shop.site.directory)!r})\n")
    return subprocess.run(as_user(shop.host.user, [sys.executable, "-c", head + script]),
                          env=shop.environment(), cwd="/", capture_output=True, text=True,
                          check=False, timeout=120)


def test_without_amy_backup(shop, backups):
    done = run_here(shop, """
stages = []
made = backups.make(on_progress=lambda progress: stages.append(progress.stage))
assert made.verdict.counts and stages, (made, stages)
assert backups.verify().name == made.name
assert backups.manifest()["name"] == made.name
print(made.name, made.rows)
""")
    assert done.returncode == 0, done.stderr
    name, rows = done.stdout.split()
    assert rows == "1002"
    names = [one.name for one in backups.sets()]
    assert name == names[0] and len(names) >= 2, "amy-backup takes it for its own"
    assert names == sorted(names, reverse=True)


def test_failures_without_amy_backup(shop):
    done = run_here(shop, """
import os
def code_of(call, *arguments):
    try:
        call(*arguments)
    except amy.Error as error:
        return error.code.name
files = len(os.listdir("/proc/self/fd"))
print(code_of(backups.verify, "20200101T000000Z"))
print(code_of(backup.in_directory("/nowhere").sets))
print(code_of(backup.in_directory("/root").sets) if os.geteuid() else "EDENIED")
os.environ["DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/x"
print(code_of(backups.make))
assert len(os.listdir("/proc/self/fd")) == files
""")
    assert done.stdout.split() == ["ENOTFOUND", "ENOTFOUND", "EDENIED", "ECONN"], done.stdout + done.stderr


def test_a_listener_that_raises_ends_it(shop):
    """With a job that has more to tell than a pipe holds: it goes on unheard."""
    done = run_here(shop, """
import os
from amy import _native
over = []

def tell_much(directory_fd, spec_fd, event_fd):
    for _ in range(3000):
        try:
            os.write(event_fd, b'{"event": "progress", "stage": "dump", "bytes": 1}\\n')
        except BrokenPipeError:
            pass
    over.append(True)

def interrupt(progress):
    raise KeyboardInterrupt

_native.backup_job = tell_much
files = len(os.listdir("/proc/self/fd"))
try:
    backups.make(on_progress=interrupt)
except KeyboardInterrupt:
    print("heard", over, len(os.listdir("/proc/self/fd")) - files)
""")
    assert done.stdout == "heard [True] 0\n", done.stdout + done.stderr


def test_a_damaged_one_is_found(backups, made, shop):
    """Last: the shop has one backup less then."""
    name = backups.sets()[0].name
    data = shop.sets / name / "data.dump.zst"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0xFF
    data.write_bytes(content)
    error = refusal(backups.verify, name)
    assert error.code is Code.EPARSE, error
    (found,) = [one for one in backups.sets() if one.name == name]
    assert found.verdict is Verdict.DAMAGED and not found.verdict.counts and found.reason
