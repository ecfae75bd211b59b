"""A good release under load: nobody loses an answer, the new code answers as soon
as a worker of it can, and a generation keeps its code until it is gone."""

import os
import shutil
import signal
import subprocess

import pytest
from hosting import users, venv
from hosting.host import Host
from hosting.load import TlsLoad
from hosting.release import Releases
from hosting.reload import Reload, good_reloads, own_start_s
from hosting.wait import wait_for
from releasing import (DJANGO_RATE, SOON_S, expect_answers_of, expect_reload, expect_whole,
                       generations, load_of, parts, pids, reload, reload_state)
from support import TINY, TINY_YAML, bake_shortly, close_host, deploy_released, deploy_tiny, serve_demo

OTHER = "other.localhost"
OTHER_USER = "amy-other"
WITH_LOOP = TINY_YAML.replace("gate:", """\
  - {{name: loop, command: [python, loop.py]}}
gate:""")
# What of the interpreter and the code a plain command of a pool was started with.
LOOP = """\
import os
import signal
import sys

with open(os.environ["BEAT_FILE"], "a") as file:
    file.write(f"{os.getpid()} {sys.prefix} {os.path.realpath(__file__)}\\n")
signal.pause()
"""


@pytest.fixture
def released(new_host, django_venv):
    host = new_host()
    host.releases = deploy_released(host, django_venv, TINY_YAML)
    host.start_workers()
    host.start_front()
    return host


def web_only(yaml):
    """The demo's site in plain HTTP, with its web pool and a short bake."""
    head, _, rest = yaml.partition("  - name: rq\n")
    yaml = head + rest[rest.index("routes:"):]
    return bake_shortly(yaml.replace("http: redirect ", "http: serve "))


@pytest.mark.timeout(300)
def test_ten_reloads_on_end_lose_nothing(session_root, counter, django_venv, postgres, redis,
                                         record_property):
    host = Host(session_root / f"h{next(counter)}")
    try:
        stage = serve_demo(host, django_venv, postgres, redis, web_only)
        releases = Releases(stage.site)
        paths = ["/slow/?s=0", "/"]
        with load_of(host, stage.domain, paths, rate=DJANGO_RATE):
            own_s = own_start_s(stage.site, "config.wsgi:application", "/healthz")
        measured = good_reloads(host, releases, times=10, paths=paths, connections=4,
                                rate=DJANGO_RATE)
        expect_whole(host, stage.domain)
        expect_answers_of(host, stage.domain, releases.current, paths[0])
    finally:
        close_host(host)
    report = measured.report
    record_property("own_start_s", own_s)
    record_property("first_s", measured.first_s)
    print(f"own start {own_s:.2f} s; first new answers after "
          f"{' '.join(f'{s:.2f}' for s in sorted(measured.first_s))} s; {report}")
    assert report.lost == 0 and set(report.by_status) == {200}, report
    assert report.sent == report.answered > 100, report
    # One body of the fixed page for each release, the old one's too.
    assert len({body for body in report.bodies}) >= 11, report.bodies
    # Within the worker's own start and half a second: that is asserted tenfold, of each.
    assert max(measured.first_s) < own_s + 5, (own_s, measured.first_s)


def test_keep_alive_clients_lose_nothing(released):
    host = released
    idle = [host.connect(TINY, tls=False) for _ in range(12)]
    for connection in idle:
        connection.request("GET", "/fixed", {"Host": TINY})
        assert connection.read_response().status == 200
    with TlsLoad(host, TINY, "/fixed", connections=4) as busy:
        wait_for(lambda: busy.report.answered > 20, SOON_S, "the load has begun")
        for _ in range(3):
            host.releases.deploy()
            expect_reload(host, TINY)
        report = busy.stop()
    assert report.lost == 0 and set(report.by_status) == {200}, report
    assert busy.handshakes == 4, "no connection was closed"
    for connection in idle:
        connection.request("GET", "/", {"Host": TINY})
        answer = connection.read_response()
        assert answer.status == 200 and answer.get("x-release") == str(host.releases.current)
        connection.close()


def test_requests_under_way_finish_with_the_old_code(released):
    slow = released.connect(TINY, tls=False)
    slow.request("GET", "/slow?s=4", {"Host": TINY})
    wait_for(lambda: parts(released, TINY)["slots"]["web"]["busy"] == 1, SOON_S, "it is under way")
    released.releases.deploy()
    expect_reload(released, TINY)
    answer = slow.read_response()
    assert answer.status == 200 and answer.get("x-release") == "1"
    slow.close()
    expect_whole(released, TINY)


def look(host):
    """At one moment: the reload's phase, what all workers of web do."""
    site = parts(host, TINY)
    return site["reload"]["state"], [worker["state"] for pool in site["pools"]
                                     if pool["name"] == "web" for worker in pool["workers"]]


def test_one_worker_at_a_time_and_never_fewer_than_the_count(new_host, django_venv):
    host = new_host()
    releases = deploy_released(host, django_venv, TINY_YAML.replace("bake: 300ms", "bake: 3s"))
    host.start_workers()
    host.start_front()
    releases.deploy()
    running = Reload(host, TINY)
    seen = []

    def over():
        seen.append(look(host))
        return running.process.poll() is not None

    wait_for(over, SOON_S, "the reload is over")
    assert running.wait().code == 0, str(running)
    assert "bake" in {phase for phase, _ in seen}, seen
    for phase, states in seen:
        assert states.count("ready") >= 2, (phase, states)
        assert states.count("boot") <= 1, (phase, states)
        if phase == "bake":
            assert states.count("ready") == 3, "the canary among the old ones"


def test_canary_meets_the_visitors_of_a_quiet_site(new_host, django_venv):
    """Who come one after the other, so that a worker is always idle."""
    host = new_host()
    releases = deploy_released(host, django_venv, TINY_YAML.replace("bake: 300ms", "bake: 60s"))
    host.start_workers()
    host.start_front()
    number = releases.deploy()
    running = Reload(host, TINY)
    try:
        wait_for(lambda: reload_state(host, TINY)["state"] == "bake", SOON_S, "the bake begins")
        answers = [host.get(TINY, tls=False).get("x-release") for _ in range(30)]
    finally:
        running.process.kill()
    # Three workers in turn, in each of two front processes.
    assert 5 <= answers.count(str(number)) <= 15, answers


def kill_worker(host, position=0, pool="web"):
    """And wait for the next one in its place."""
    victim = pids(host, TINY)[pool][position]
    os.kill(victim, signal.SIGKILL)

    def replaced():
        pool_now = next(one for one in parts(host, TINY)["pools"] if one["name"] == pool)
        worker = pool_now["workers"][position]
        return worker["state"] == "ready" and worker["pid"] not in (0, victim)

    wait_for(replaced, SOON_S, "another worker in its place")


def test_killed_old_worker_comes_back_with_the_old_code(released):
    released.releases.deploy()
    for position in (0, 1):
        kill_worker(released, position)
    expect_answers_of(released, TINY, 1)
    expect_reload(released, TINY)
    expect_answers_of(released, TINY, 2)


def loop_starts(site):
    return [line.split() for line in (site.directory / "beat/beats").read_text().splitlines()]


def remake_through_the_link(releases, base_venv):
    """As `python3 -m venv repo/.venv` does it, release 1 being meant."""
    settings = releases.site.venv / "bin/postactivate"
    kept = settings.rename(releases.site.directory / "postactivate")
    shutil.rmtree(releases.path(1) / ".venv")
    venv.build_over(releases.site.venv, base_venv)
    kept.rename(settings)


@pytest.mark.parametrize("made", ["at its real path", "through the link"])
def test_killed_old_command_comes_back_with_the_old_code_and_interpreter(
        new_host, django_venv, made):
    """A venv that was made as repo/.venv has the link's path in its activate."""
    host = new_host()
    releases = deploy_released(host, django_venv, WITH_LOOP)
    (releases.path(1) / "loop.py").write_text(LOOP)
    number = releases.make()
    for release in (1, number):
        releases.own_venv(release)
    if made == "through the link":
        remake_through_the_link(releases, django_venv)
    host.start_workers()
    host.start_front()
    releases.switch(number)
    kill_worker(host, pool="loop")
    expect_reload(host, TINY)
    starts = loop_starts(releases.site)
    assert [tuple(words[1:]) for words in starts] == [
        (str(releases.path(release) / ".venv"), str(releases.path(release) / "loop.py"))
        for release in (1, 1, number)]


def test_plain_repo_changed_in_place_starts_what_is_there_and_says_so(new_host, django_venv):
    host = new_host()
    site = deploy_tiny(host, TINY, django_venv, TINY_YAML)
    host.start_workers()
    host.start_front()
    expect_answers_of(host, TINY, "repo")
    assert not parts(host, TINY)["changed_in_place"]
    with open(site.repo / "tiny.py", "a", encoding="utf-8") as file:
        file.write('RELEASE = "changed"\n')
    for position in (0, 1):
        kill_worker(host, position)
    wait_for(lambda: parts(host, TINY)["changed_in_place"], SOON_S, "status says so")
    expect_answers_of(host, TINY, "changed")
    assert "changed in place" in host.amyctl("status").stdout
    expect_reload(host, TINY)
    expect_answers_of(host, TINY, "changed")
    assert not parts(host, TINY)["changed_in_place"]


def test_git_checkout_changed_in_place_is_seen_by_its_head(new_host, django_venv):
    host = new_host()
    site = deploy_tiny(host, TINY, django_venv, TINY_YAML)

    def git(*words):
        subprocess.run(["git", "-C", site.repo, "-c", "user.name=a", "-c", "user.email=a@b",
                        *words], check=True, capture_output=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    host.start_workers()
    assert not parts(host, TINY)["changed_in_place"]
    git("commit", "-q", "--allow-empty", "-m", "two")
    wait_for(lambda: parts(host, TINY)["changed_in_place"], SOON_S, "status says so")


def wait_for_end(host, after, state):
    """Of a reload that nobody waits for; its generation."""
    def over():
        now = reload_state(host, TINY)
        return now["state"] == state and now["generation"] > after and now

    return wait_for(over, SOON_S, f"the reload is {state}")["generation"]


def test_requests_with_a_body_are_not_lost(released):
    """They cannot be sent to another worker when one closes on them unread."""
    with load_of(released, TINY, ["POST /echo"], connections=8, rate=None) as load:
        for _ in range(5):
            released.releases.deploy()
            expect_reload(released, TINY)
        report = load.stop()
    assert report.lost == 0 and set(report.by_status) == {200}, report


def test_hup_does_what_amyctl_does(released):
    running = generations(released, TINY)[0]
    with load_of(released, TINY) as load:
        released.releases.deploy()
        released.workers.send(signal.SIGHUP)
        wait_for_end(released, running, "idle")
        expect_whole(released, TINY)
        expect_answers_of(released, TINY, 2)
        released.releases.deploy("import")
        running = generations(released, TINY)[0]
        released.workers.send(signal.SIGHUP)
        wait_for_end(released, running, "failed")
        report = load.stop()
    expect_answers_of(released, TINY, 2)
    assert generations(released, TINY) == [running]
    assert report.lost == 0 and set(report.by_status) == {200}, report
    log = released.releases.site.logs / "gunicorn_supervisor.log"
    assert "no_such_module" in log.read_text(), "the fault was injected"


def test_ten_hups_are_one_reload_more(released):
    before = generations(released, TINY)[0]
    with load_of(released, TINY) as load:
        released.releases.deploy()
        for _ in range(10):
            released.workers.send(signal.SIGHUP)
        wait_for_end(released, before, "idle")
        wait_for(lambda: reload_state(released, TINY)["state"] == "idle"
                 and generations(released, TINY)[0] > before, SOON_S, "all is over")
        expect_whole(released, TINY)
        report = load.stop()
    # Signals that come together are one; those of the time of a reload one more.
    assert before < generations(released, TINY)[0] <= before + 2
    assert report.lost == 0 and set(report.by_status) == {200}, report
    expect_answers_of(released, TINY, 2)


def test_reloads_that_overlap_all_hear_how_it_went(released):
    before = generations(released, TINY)[0]
    released.releases.deploy()
    running = [Reload(released, TINY) for _ in range(5)]
    for one in running:
        assert one.wait().code == 0, str(one)
    assert generations(released, TINY)[0] <= before + 2
    expect_answers_of(released, TINY, 2)
    expect_whole(released, TINY)


@pytest.mark.root
def test_user_of_a_site_reloads_its_own_and_no_other(new_host, django_venv):
    users.create_missing(OTHER_USER)
    host = new_host()
    deploy_released(host, django_venv, TINY_YAML)
    other = deploy_tiny(host, OTHER, django_venv, TINY_YAML)
    other.write_yaml(TINY_YAML.format(domain=OTHER, user=OTHER_USER))
    os.chown(other.venv / "bin/postactivate", 0, users.User.named(OTHER_USER).gid)
    os.chown(other.directory / "beat", users.User.named(OTHER_USER).uid, 0)
    host.start_workers()
    host.start_front()
    mine = generations(host, TINY)[0]
    its = generations(host, OTHER)[0]
    expect_reload(host, TINY, user=host.user)
    refused = reload(host, OTHER, user=host.user)
    assert refused.code == 1 and OTHER in refused.err, str(refused)
    assert generations(host, TINY)[0] == mine + 1
    assert generations(host, OTHER)[0] == its
