"""The walk, 7: the demo's site is backed up, and restored on a machine that has
nothing of ours."""

import re
import shutil
import subprocess

import pytest
from hosting import users, walk
from hosting.services import Postgres
from hosting.site import TOP, make_directory
from hosting.users import as_user, clean_environment
from test_metrics import expect_promtool_takes, scrape


def test_a_backup_is_made_tried_and_restored(stage):
    walk.is_backed_up_and_restored(stage)


def test_status_and_metrics_tell_of_it(stage):
    walk.is_backed_up_and_restored(stage)
    text = stage.host.amyctl("status").stdout
    assert "amy-backup" in text and re.search(r"backup \d{8}T\d{6}Z, (parsed|restored)", text), text
    answer = scrape(stage.host, "backup")
    assert answer.status == 200
    assert re.search(r'^amy_backup_age_seconds\{site="demo.localhost"\} \d', answer.text, re.M)
    assert 'amy_backup_alarm{site="demo.localhost",state="failed"} 0' in answer.text
    expect_promtool_takes(answer.text)
    assert scrape(stage.host, "backup", method="POST").status == 405


@pytest.fixture
def empty_machine(session_root):
    """A cluster as initdb leaves it."""
    directory = session_root / "new"
    make_directory(directory, 0o700, users.site_user())
    server = Postgres(directory, users.site_user())
    server.start()
    yield server
    server.stop()


def test_the_docs_restore_it_on_an_empty_machine(stage, empty_machine, session_root):
    """The commands of docs/backups.md, word by word."""
    walk.is_backed_up_and_restored(stage)
    made = walk.job_of(stage, "list", stage.domain)["sets"][0]["name"]
    copy = session_root / "new" / "DB_backups"
    shutil.copytree(stage.site.directory / "DB_backups", copy)
    subprocess.run(["chown", "-R", str(users.site_user().uid), copy], check=True)
    guide = (TOP / "docs/backups.md").read_text()
    (commands,) = re.findall(r"```sh\n(cd DB_backups/.*?)```", guide, re.S)
    commands = commands.replace("20261123T160000Z", made)
    done = subprocess.run(
        as_user(users.site_user(), ["bash", "-c", f"cd {copy.parent}\n{commands}"]), text=True,
        env=clean_environment(PGHOST=str(empty_machine.directory), HOME="/nonexistent"),
        capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[0] in (copy / made / "manifest.json").read_text()
    tables = walk.job_of(stage, "show", stage.domain, made)["manifest"]["tables"]
    assert walk.count_rows(empty_machine, "example") == {
        table["name"]: table["rows"] for table in tables}
