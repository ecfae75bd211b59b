"""`amyctl deploy` and `rollback` of the quick site: real daemons, real git."""

import json
import os
import shutil
import signal
import subprocess
import zipfile

import pytest

from deploying import TINY_STEPS, Deployments, Repository, deploy_lines, make_tiny, write_settings
from hosting.site import make_directory
from hosting.users import as_user, clean_environment, is_root
from hosting.wait import wait_for
from support import HERE, TINY, TINY_YAML

SOON_S = 60


@pytest.fixture
def tiny(new_host, django_venv):
    """Served by its first release."""
    made = make_tiny(new_host(), django_venv)
    made.host.start_front()
    made.host.start_workers(ready=False)
    wait_for(lambda: made.host.daemon_status("workers"), SOON_S, "amy-workers answers")
    made.deploy()
    wait_for(lambda: made.serving, SOON_S, "the first release serves")
    return made


def test_a_release_takes_over(tiny):
    first = tiny.link
    commit = tiny.repository.commit("second")
    done = tiny.deploy()
    assert tiny.link != first and tiny.link.endswith(commit[:12])
    assert tiny.serving == tiny.link.rpartition("/")[2]
    assert tiny.link in done.stdout and done.stderr == ""
    assert tiny.journal is None
    for step in ("checks", "fetch", "environment", "variables", "switch", "reload", "record", "clean"):
        assert f" {step}: done in " in tiny.log, tiny.log
    assert f"{tiny.link} serves" in tiny.log


def test_first_release_goes_where_init_has_made_room(new_host, django_venv):
    """Into an empty repo/, and without a backup: there is no environment yet to find a database by."""
    made = make_tiny(new_host(), django_venv, yaml=TINY_YAML + "database: {{from: DATABASE_URL}}\n")
    made.host.start_front()
    made.host.start_workers(ready=False)
    wait_for(lambda: made.host.daemon_status("workers"), SOON_S, "amy-workers answers")
    made.site.repo.mkdir()
    done = made.deploy()
    assert "none before the first release" in done.stdout, done.stdout
    wait_for(lambda: made.serving, SOON_S, "the first release serves")
    assert made.link == f"releases/{made.serving}"
    # The next one wants its backup.
    made.repository.commit("second")
    assert "amy-backup does not run" in made.deploy(check=False).stderr


def test_a_first_one_that_is_no_good_bars_no_other(new_host, django_venv):
    made = make_tiny(new_host(), django_venv)
    made.host.start_front()
    made.host.start_workers(ready=False)
    wait_for(lambda: made.host.daemon_status("workers"), SOON_S, "amy-workers answers")
    made.repository.append("tiny.py", "\nimport no_such_module\n")
    made.repository.commit("broken")
    done = made.deploy(check=False)
    assert done.returncode == 1 and "no_such_module" in done.stdout + done.stderr, done
    assert made.link is None and made.releases == [] and made.journal is None
    made.repository.undo()
    made.repository.commit("good")
    made.deploy()
    wait_for(lambda: made.serving, SOON_S, "the first release serves")


def test_a_first_one_killed_while_queues_are_suspended_bars_no_other(new_host, django_venv, redis):
    """`repo`, by which the queues are found otherwise, is not there yet."""
    made = make_tiny(new_host(), django_venv, more="rq: {suspend: true, drain: 60s}",
                     yaml=TINY_YAML + "redis: {{from: REDIS_URL}}\n")
    write_settings(made.site, {"REDIS_URL": redis.url})
    made.host.start_front()
    made.host.start_workers(ready=False)
    wait_for(lambda: made.host.daemon_status("workers"), SOON_S, "amy-workers answers")
    redis.command("SADD", "rq:workers", "rq:worker:busy")
    redis.command("HSET", "rq:worker:busy", "state", "busy")
    try:
        with subprocess.Popen(made.host.amyctl_argv("deploy", TINY), stdout=subprocess.DEVNULL) as child:
            wait_for(lambda: redis.command("EXISTS", "rq:suspended").endswith("1"), SOON_S, "rq is suspended")
            child.kill()
        made.deploy("--recover")
        assert redis.command("EXISTS", "rq:suspended").endswith("0") and made.journal is None
        # With the release gone as well nobody knows where the queues are.
        with subprocess.Popen(made.host.amyctl_argv("deploy", TINY), stdout=subprocess.DEVNULL) as child:
            wait_for(lambda: redis.command("EXISTS", "rq:suspended").endswith("1"), SOON_S, "rq is suspended")
            child.kill()
        shutil.rmtree(made.site.directory / "releases")
        assert "rq goes on by itself" in made.deploy("--recover").stdout and made.journal is None
    finally:
        redis.command("DEL", "rq:workers", "rq:worker:busy", "rq:suspended")
    made.deploy()
    wait_for(lambda: made.serving, SOON_S, "the first release serves")


def test_repo_with_files_is_in_the_way(new_host, django_venv):
    made = make_tiny(new_host(), django_venv)
    made.site.repo.mkdir()
    (made.site.repo / "manage.py").touch()
    done = made.deploy(check=False)
    assert done.returncode == 1 and "repo is a directory" in done.stderr
    assert (made.site.repo / "manage.py").exists()


def test_one_that_is_no_good_changes_nothing(tiny):
    before, releases = tiny.link, tiny.releases
    tiny.repository.append("tiny.py", "\nimport no_such_module\n")
    tiny.repository.commit("broken")
    done = tiny.deploy(check=False)
    assert done.returncode == 1 and "no_such_module" in done.stdout + done.stderr
    assert "reload" in done.stderr and "goes on as before" in done.stderr, done.stderr
    assert tiny.link == before and tiny.releases == releases and tiny.journal is None
    assert tiny.serving == before.rpartition("/")[2]


def test_rollback_goes_to_the_one_before_and_further(tiny):
    first = tiny.link
    tiny.repository.commit("second")
    tiny.deploy()
    second = tiny.link
    tiny.repository.commit("third")
    tiny.deploy()
    tiny.rollback()
    assert tiny.link == second and tiny.serving == second.rpartition("/")[2]
    tiny.rollback()  # not to the third, from which somebody went back
    assert tiny.link == first
    done = tiny.rollback(check=False)
    assert done.returncode == 1 and "no release" in done.stderr
    tiny.rollback("--to", second.rpartition("/")[2])
    assert tiny.link == second and tiny.serving == second.rpartition("/")[2]


def test_what_serves_already_is_not_deployed_again(tiny):
    first, releases = tiny.link, tiny.releases
    end = tiny.events(tiny.deploy("--if-changed", "--json"))[-1]
    assert end["good"] and end["unchanged"] and end["release"] == first, end
    assert tiny.releases == releases and tiny.journal is None
    commit = tiny.repository.commit("second")
    end = tiny.events(tiny.deploy("--if-changed", "--json"))[-1]
    assert end["good"] and not end["unchanged"] and end["commit"] == commit
    tiny.rollback()
    listed = json.loads(tiny.rollback("--list", "--json").stdout)["releases"]
    assert [(one["release"] == first, one["serves"], one["left"]) for one in listed] == [
        (True, True, False), (False, False, True)]
    assert "gone back from" in tiny.rollback("--list").stdout


def test_each_line_for_programs_is_json(tiny):
    """Whatever the site's programs say: Latin-1, and a letter where a line is cut."""
    hook = ("before: [{name: look, run: [python, -c, \"import sys; sys.stdout.buffer.write(b'caf\\\\xe9 !\\\\n' + b'x' * 149 "
            "+ b'\\\\xc3\\\\xbc' * 10); sys.exit(3)\"]}]")
    tiny.site.write_yaml(tiny.site.yaml.read_text().replace(TINY_STEPS, f"{TINY_STEPS}, {hook}"))
    events = tiny.events(tiny.deploy("--json", check=False))
    assert "caf? !" in [event.get("text") for event in events], events
    assert events[-1]["event"] == "done" and events[-1]["reason"].endswith("xxx"), events[-1]


def test_the_umask_of_whoever_deploys_closes_nothing(tiny):
    commit = tiny.repository.commit("second")
    done = subprocess.run(tiny.host.amyctl_argv("deploy", TINY), umask=0o077, capture_output=True, text=True,
                          timeout=SOON_S, check=False)
    assert done.returncode == 0 and tiny.link.endswith(commit[:12]), done
    assert tiny.site.repo.stat().st_mode & 0o777 == 0o755


def test_plan_touches_nothing(tiny):
    tree = sorted(os.walk(tiny.site.directory))
    tiny.repository.commit("second")
    done = tiny.deploy("--plan")
    for step in ("fetch", "environment", "switch", "reload"):
        assert step in done.stdout
    plan = json.loads(tiny.deploy("--plan", "--json").stdout)
    assert [step["name"] for step in plan["steps"]][:2] == ["checks", "fetch"]
    assert tree == sorted(os.walk(tiny.site.directory))


def test_two_at_once_are_refused(tiny):
    fifo = tiny.host.root / "fifo"
    os.mkfifo(fifo, 0o666)
    fifo.chmod(0o666)
    tiny.site.write_yaml(tiny.site.yaml.read_text().replace(
        "deploy: {", f"deploy: {{before: [{{name: hold, run: [cat, {fifo}]}}], "))
    tiny.repository.commit("second")
    first = subprocess.Popen(tiny.host.amyctl_argv("deploy", TINY), stdout=subprocess.DEVNULL)
    wait_for(lambda: (tiny.journal or {}).get("step") == "hold", SOON_S, "the first one is at its hook")
    done = tiny.deploy(check=False)
    assert done.returncode == 1
    assert f"pid {first.pid}" in done.stderr and "step 'hold'" in done.stderr, done.stderr
    fifo.write_text("go on\n")
    assert first.wait(SOON_S) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_one_that_is_ended_is_undone(tiny, number):
    """By ^C at once; after a kill by the next command, whatever that was."""
    before, releases = tiny.link, tiny.releases
    tiny.site.write_yaml(tiny.site.yaml.read_text().replace(
        "deploy: {", "deploy: {before: [{name: hold, run: [sh, -c, 'sleep 600 & sleep 600']}], "))
    tiny.repository.commit("second")
    child = subprocess.Popen(tiny.host.amyctl_argv("deploy", TINY), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    wait_for(lambda: (tiny.journal or {}).get("step") == "hold", SOON_S, "it is at its hook")
    child.send_signal(number)
    assert child.wait(SOON_S) != 0
    if number == signal.SIGKILL:
        assert tiny.journal is not None and tiny.releases != releases
        done = tiny.deploy("--recover")
        assert "undone" in done.stdout and f"{before}  " in done.stdout, done
        assert f"{before} serves" in tiny.log.splitlines()[-1]
    assert tiny.journal is None and tiny.releases == releases and tiny.link == before
    assert tiny.serving == before.rpartition("/")[2]


def reload_of(made):
    report = made.host.daemon_status("workers")
    return next(site for site in report["sites"] if site["site"] == made.domain)["reload"]


def test_a_bake_that_is_given_up_ends_at_once(tiny):
    before, releases = tiny.link, tiny.releases
    tiny.site.write_yaml(tiny.site.yaml.read_text().replace("bake: 300ms", "bake: 10m"))
    tiny.repository.commit("second")
    child = subprocess.Popen(tiny.host.amyctl_argv("deploy", TINY), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    wait_for(lambda: reload_of(tiny)["state"] == "bake", SOON_S, "the canary answers visitors")
    child.send_signal(signal.SIGINT)
    assert child.wait(SOON_S) != 0
    assert tiny.link == before and tiny.releases == releases and tiny.journal is None
    wait_for(lambda: reload_of(tiny)["state"] == "idle", SOON_S, "nothing is under way")
    assert {tiny.serving for _ in range(20)} == {before.rpartition("/")[2]}


def test_one_that_serves_after_a_kill_is_finished(tiny):
    """amy-workers has carried it on, and the next command finds that out."""
    tiny.site.write_yaml(tiny.site.yaml.read_text().replace("bake: 300ms", "bake: 2s"))
    tiny.repository.commit("second")
    child = subprocess.Popen(tiny.host.amyctl_argv("deploy", TINY), stdout=subprocess.DEVNULL)
    wait_for(lambda: reload_of(tiny)["state"] == "bake", SOON_S, "the canary answers visitors")
    child.kill()
    child.wait(SOON_S)
    new, releases = tiny.link, tiny.releases
    wait_for(lambda: reload_of(tiny)["state"] == "idle" and reload_of(tiny)["release"].endswith(new),
             SOON_S, "it serves")
    done = tiny.deploy("--recover")
    assert "it serves" in done.stdout and "undone" not in done.stdout, done
    assert tiny.link == new and tiny.releases == releases and tiny.journal is None
    listed = json.loads(tiny.rollback("--list", "--json").stdout)["releases"]
    assert listed[0]["release"] == new and listed[0]["serves"]


def test_what_is_closed_while_it_is_built_stays_closed(tiny):
    fifo = tiny.host.root / "fifo"
    os.mkfifo(fifo, 0o666)
    fifo.chmod(0o666)
    tiny.site.write_yaml(tiny.site.yaml.read_text().replace(
        "deploy: {", f"deploy: {{gate: closed, before: [{{name: hold, run: [cat, {fifo}]}}], "))
    tiny.repository.commit("second")
    child = subprocess.Popen(tiny.host.amyctl_argv("deploy", TINY), stdout=subprocess.PIPE, text=True)
    wait_for(lambda: (tiny.journal or {}).get("step") == "hold", SOON_S, "it is at its hook")
    tiny.run("maintenance", "on", TINY)
    fifo.write_text("go on\n")
    said = child.communicate(timeout=SOON_S)[0]
    assert child.returncode == 0 and "it was closed before" in said, said
    assert tiny.host.get(TINY, "/", tls=False).status == 503


def test_without_a_front_nothing_is_closed(tiny):
    """Said at once, where it is to be; and it bars no later one."""
    before, releases = tiny.link, tiny.releases
    text = tiny.site.yaml.read_text()
    tiny.site.write_yaml(text.replace("deploy: {", "deploy: {gate: closed, "))
    tiny.host.front.stop()
    tiny.repository.commit("second")
    done = tiny.deploy(check=False)
    assert done.returncode == 1 and "checks: amy-front does not run" in done.stderr, done
    assert tiny.link == before and tiny.releases == releases and tiny.journal is None
    tiny.site.write_yaml(text)
    tiny.deploy()
    assert tiny.link != before


def test_old_releases_go(tiny):
    tiny.site.write_yaml(tiny.site.yaml.read_text().replace("deploy: {", "deploy: {keep: 2, "))
    for number in range(3):
        tiny.repository.commit(f"number {number}")
        tiny.deploy()
    assert len(tiny.releases) == 2 and tiny.link.rpartition("/")[2] == tiny.releases[-1]


def test_who_may_not(tiny):
    if is_root():
        done = tiny.run("deploy", TINY, user=tiny.site.user, check=False)
        assert done.returncode == 1 and done.stderr, done


# ---- the classic single repo/


@pytest.fixture
def classic(new_host, django_venv):
    """`repo` is a checkout of git, made by hand, and serves."""
    made = make_tiny(new_host(), django_venv)
    text = made.site.yaml.read_text().replace(TINY_STEPS, "steps: [{name: environment}]")
    made.site.write_yaml(text)
    user, repo = made.repository.user, made.site.repo
    make_directory(repo, 0o755, user)
    for argv in (["git", "clone", "--quiet", made.repository.directory, repo], ["./environment.sh"],
                 ["cp", "/dev/null", ".venv/bin/postactivate"]):
        subprocess.run(as_user(user, argv), cwd=repo, env=clean_environment(HOME="/"), check=True)
    made.host.start_front()
    made.host.start_workers()
    return made


def fixed(made):
    return made.host.get(TINY, "/fixed", tls=False).body


def head(made):
    return subprocess.run(as_user(made.repository.user, ["git", "rev-parse", "HEAD"]), cwd=made.site.repo,
                          env=clean_environment(), capture_output=True, text=True, check=True).stdout.strip()


def test_a_checkout_is_changed_in_place_and_back(classic):
    first, before = fixed(classic), head(classic)
    classic.repository.append("tiny.py", "\nFIXED = b'second'\n")
    second = classic.repository.commit("second")
    plan = classic.deploy("--plan").stdout
    assert "checkout" in plan and "import late" in plan and "switch" not in plan
    done = classic.deploy()
    assert f"repo@{second}" in done.stdout and head(classic) == second
    assert fixed(classic) == b"second"
    assert classic.site.repo.is_dir() and not classic.site.repo.is_symlink()
    classic.repository.append("tiny.py", "\nimport no_such_module\n")
    classic.repository.commit("broken")
    done = classic.deploy(check=False)
    assert done.returncode == 1 and "checkout back" in done.stdout, done
    assert head(classic) == second and fixed(classic) == b"second" and classic.journal is None
    classic.rollback()
    assert head(classic) == before and fixed(classic) == first
    done = classic.rollback(check=False)
    assert done.returncode == 1 and "no commit" in done.stderr
    classic.rollback("--to", second[:10])
    assert head(classic) == second and fixed(classic) == b"second"


def test_changes_by_hand_are_not_lost(classic):
    before = head(classic)
    with open(classic.site.repo / "tiny.py", "a") as file:
        file.write("# a hotfix\n")
    classic.repository.commit("second")
    done = classic.deploy(check=False)
    assert done.returncode == 1 and "changed by hand" in done.stderr, done
    assert head(classic) == before and "a hotfix" in (classic.site.repo / "tiny.py").read_text()


def test_files_that_git_does_not_know_are_not_lost(classic):
    before = head(classic)
    file = classic.site.repo / "local_settings.py"
    file.write_text("SECRET = 'the only copy'\n")
    classic.repository.write("local_settings.py", "# a template\n")
    classic.repository.commit("second")
    done = classic.deploy(check=False)
    assert done.returncode == 1 and "local_settings.py" in done.stderr, done
    assert head(classic) == before and "the only copy" in file.read_text() and classic.journal is None


def test_changes_by_hand_are_not_lost_by_going_back(classic):
    classic.repository.append("tiny.py", "\nFIXED = b'second'\n")
    second = classic.repository.commit("second")
    classic.deploy()
    with open(classic.site.repo / "tiny.py", "a") as file:
        file.write("# a hotfix\n")
    done = classic.rollback(check=False)
    assert done.returncode == 1 and "changed by hand" in done.stderr, done
    assert head(classic) == second and "a hotfix" in (classic.site.repo / "tiny.py").read_text()


def test_going_back_from_what_somebody_pulled_goes_to_our_last(classic):
    classic.repository.append("tiny.py", "\nFIXED = b'second'\n")
    second = classic.repository.commit("second")
    classic.deploy()
    classic.repository.append("tiny.py", "\nFIXED = b'third'\n")
    classic.repository.commit("third")
    subprocess.run(as_user(classic.repository.user, ["git", "pull", "--quiet"]), cwd=classic.site.repo,
                   env=clean_environment(HOME="/"), check=True)
    classic.run("reload", TINY)
    assert "not deployed by amyctl" in classic.rollback().stdout
    assert head(classic) == second and fixed(classic) == b"second"


def guide_to_releases(made):
    """What docs/guide/deploying.md says, with this site's names."""
    guide = (HERE.parents[1] / "docs/guide/deploying.md").read_text()
    block = guide.partition("To change to releases, once")[2].partition("```console\n")[2].partition("```")[0]
    lines = block.replace("/webapps/example.org", str(made.site.directory))
    lines = lines.replace("chown -R deploy:", f"chown -R {made.repository.user.name}:")
    program = " ".join(str(word) for word in made.host.amyctl_argv())
    return lines.replace("amyctl ", f"{program} ").replace("example.org", made.domain)


def test_a_checkout_becomes_releases_as_the_guide_says(classic):
    """The settings are root's and the site's group's, before and after."""
    settings = classic.site.repo / ".venv/bin/postactivate"
    settings.write_text("export GREETING=hello\n")
    settings.chmod(0o640)
    if is_root():
        os.chown(settings, 0, classic.site.user.gid)
    classic.site.write_yaml(classic.site.yaml.read_text().replace("steps: [{name: environment}]", TINY_STEPS))
    was = settings.stat()
    done = subprocess.run(["sh", "-exc", guide_to_releases(classic)], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done
    now = (classic.site.directory / "postactivate").stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (was.st_mode, was.st_uid, was.st_gid)
    assert len(classic.releases) == 2 and classic.link == f"releases/{classic.releases[0]}", classic.releases
    assert classic.journal is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_checkout_that_is_cut_off_is_undone(classic, number):
    """A filter, as git-lfs is one, holds git where it has locked its index."""
    before, fifo = head(classic), classic.host.root / "fifo"
    os.mkfifo(fifo, 0o666)
    fifo.chmod(0o666)
    user = classic.repository.user
    subprocess.run(as_user(user, ["git", "config", "filter.slow.smudge", f"cat {fifo}"]),
                   cwd=classic.site.repo, env=clean_environment(HOME="/"), check=True)
    classic.repository.write(".gitattributes", "*.big filter=slow\n")
    classic.repository.write("a.big", "x\n")
    second = classic.repository.commit("second")
    child = subprocess.Popen(classic.host.amyctl_argv("deploy", TINY), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    lock = classic.site.repo / ".git/index.lock"
    wait_for(lambda: lock.exists() and (classic.journal or {}).get("switched"), SOON_S, "git has its lock")
    child.send_signal(number)
    assert child.wait(SOON_S) != 0
    if number == signal.SIGKILL:
        classic.deploy("--recover")
    assert not lock.exists() and head(classic) == before and classic.journal is None
    assert not (classic.site.repo / ".gitattributes").exists()
    subprocess.run(as_user(user, ["git", "config", "filter.slow.smudge", "cat"]),
                   cwd=classic.site.repo, env=clean_environment(HOME="/"), check=True)
    classic.deploy()
    assert head(classic) == second


def test_locks_of_a_killed_fetch_are_no_bar(tiny):
    mirror = tiny.site.directory / "releases/.source.git"
    for name in ("amy-index.lock", "packed-refs.lock", "config.lock", "refs/heads/main.lock"):
        (mirror / name).touch()
    commit = tiny.repository.commit("second")
    tiny.deploy()
    assert tiny.link.endswith(commit[:12])


# ---- the environment that we make


WHEEL = "shopdep-{version}-py3-none-any.whl"


def write_wheel(directory, version):
    """A package that is nothing but its version."""
    with zipfile.ZipFile(directory / WHEEL.format(version=version), "w") as wheel:
        info = f"shopdep-{version}.dist-info"
        wheel.writestr("shopdep.py", f"VERSION = '{version}'\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: shopdep\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"shopdep.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.mark.long
def test_what_a_release_requires_is_installed_for_it(new_host, django_venv):
    """With pip, in a .venv of its own; without a network."""
    host = new_host()
    repository = Repository(host.root / "source", django_venv)
    for name in ("1.0", "2.0"):
        write_wheel(repository.directory, name)
    repository.write("requirements.txt", "--no-index\n--find-links .\nshopdep==1.0\n")
    repository.commit()
    site = host.site(TINY)
    look = "[{name: look, user: site, run: [python, -c, 'import shopdep, sys; print(shopdep.VERSION, sys.prefix)']}]"
    site.write_yaml(f"site: {TINY}\nuser: {host.user.name}\n"
                    + deploy_lines(repository, f"before: {look}", "steps: [{name: environment}]"))
    made = Deployments(host, site, repository)
    first = made.deploy()
    assert f"1.0 {site.directory}/{made.link}/.venv" in first.stdout, first
    repository.write("requirements.txt", "--no-index\n--find-links .\nshopdep==2.0\n")
    repository.commit()
    assert "2.0 " in made.deploy().stdout
    repository.write("requirements.txt", "--no-index\n--find-links .\nshopdep==3.0\n")
    repository.commit()
    before = made.link
    done = made.deploy(check=False)
    assert done.returncode == 1 and "shopdep==3.0" in done.stderr, done
    assert made.link == before and len(made.releases) == 2
