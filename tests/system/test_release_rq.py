"""A job under way survives a reload and runs once: a real rq worker of the demo's
site is told to stop once, and waited for."""

import json

import pytest
from hosting import walk
from hosting.host import Host
from hosting.release import Releases
from hosting.reload import Reload
from hosting.wait import wait_for
from releasing import (SOON_S, expect_answers_of, expect_reload, expect_whole, parts, pids, reload,
                       reload_state)
from support import close_host, command_line, processes, serve_demo

JOB_S = 60
# What a job leaves: one line when it begins, one when it ends.
ENQUEUE = """\
import django_rq
print(django_rq.get_queue("default").enqueue(
    "subprocess.check_call",
    ["sh", "-c", "echo begun >> {file}; sleep {seconds}; echo ended >> {file}"],
    job_timeout=300).id)
"""


def plain(yaml):
    return yaml.replace("http: redirect ", "http: serve ").replace(
        "any_host: true}", "any_host: true, bake: 300ms}")


@pytest.fixture
def stage(session_root, counter, django_venv, postgres, redis):
    host = Host(session_root / f"h{next(counter)}")
    try:
        yield serve_demo(host, django_venv, postgres, redis, plain)
    finally:
        close_host(host)


class Job:
    """One under way, in the site's own queue."""

    def __init__(self, stage, seconds):
        self.stage = stage
        self.file = stage.site.logs / "job"
        code = ENQUEUE.format(file=self.file, seconds=seconds)
        out = stage.site.manage("shell", "-c", code, user=stage.site.user)
        self.id = out.split()[-1]
        wait_for(lambda: self.lines() == ["begun"], SOON_S, "the job is under way")

    def lines(self):
        return self.file.read_text().split()

    def state(self):
        """As rq has it. A second TERM to its worker would make it `failed`."""
        answer = self.stage.get(f"/jobs/{self.id}.json", tls=False)
        return json.loads(answer.body)["state"]

    def wait_for_end(self, deadline_s):
        wait_for(lambda: self.lines() == ["begun", "ended"], deadline_s, "the job ends")
        wait_for(lambda: self.state() == "finished", SOON_S, "rq has seen it")

    def processes(self):
        return [pid for pid in processes() if f">> {self.file}" in command_line(pid)]


def rq_lives(stage):
    return [(worker["state"], worker["pid"])
            for pool in parts(stage.host, stage.domain)["pools"] if pool["name"] == "rq"
            for worker in pool["workers"]]


@pytest.mark.timeout(300)
def test_job_of_a_minute_survives_a_reload_and_runs_once(stage):
    host, releases = stage.host, Releases(stage.site)
    worker = pids(host, stage.domain)["rq"][0]
    job = Job(stage, JOB_S)
    releases.deploy()
    running = Reload(host, stage.domain)
    running.first_answer_of(2, "/slow/?s=0")
    wait_for(lambda: ("drain", worker) in rq_lives(stage), SOON_S, "rq was told to finish")
    assert job.lines() == ["begun"], "the web pool did not wait for the job"
    assert running.wait().code == 0, str(running)
    assert job.lines() == ["begun"], "whoever deploys did not wait for the job"
    assert ("drain", worker) in rq_lives(stage), "it works on"
    job.wait_for_end(2 * JOB_S)
    expect_whole(host, stage.domain)
    expect_answers_of(host, stage.domain, 2, "/slow/?s=0")
    assert pids(host, stage.domain)["rq"][0] != worker
    # The new rq worker works, and has not run the job again.
    assert walk.run_job(stage, 1000) == 168
    assert job.lines() == ["begun", "ended"]


def test_killed_supervisor_leaves_the_job_to_its_worker(stage):
    """It finishes; the new supervisor's rq worker waits for its lock."""
    job = Job(stage, 8)
    stage.host.workers.kill()
    stage.host.start_workers(ready=False)
    job.wait_for_end(SOON_S)
    expect_whole(stage.host, stage.domain)
    assert walk.run_job(stage, 1000) == 168
    assert job.lines() == ["begun", "ended"]


def test_patience_that_ends_kills_the_work_horse_too(stage):
    """rq's work-horse leads a group of its own: it is found all the same."""
    stage.site.write_yaml(stage.site.yaml.read_text().replace("patience: 10m", "patience: 2s"))
    expect_reload(stage.host, stage.domain)
    expect_whole(stage.host, stage.domain)
    job = Job(stage, 120)
    assert job.processes()
    expect_reload(stage.host, stage.domain)
    wait_for(lambda: not job.processes(), SOON_S, "the job's processes are gone")
    assert job.lines() == ["begun"]


# To the web pool, which gunicorn starts, this file is as before.
RQ_DIES = """\
import sys

if "rqworker" in sys.argv:
    import time

    time.sleep(1.5)
    import no_such_module
"""


def test_release_broken_only_in_rq_is_refused(stage):
    """It lives for a while, as one with many imports does; the old one is back then."""
    stage.site.write_yaml(stage.site.yaml.read_text().replace("bake: 300ms", "bake: 5s"))
    host, releases = stage.host, Releases(stage.site)
    number = releases.make()
    settings = releases.path(number) / "config/settings.py"
    settings.write_text(settings.read_text() + RQ_DIES)
    releases.switch(number)
    refused = reload(host, stage.domain)
    assert refused.code == 1 and "rq 0 of generation" in refused.err, str(refused)
    assert "No module named 'no_such_module'" in refused.err, str(refused)
    assert reload_state(host, stage.domain)["state"] == "failed"
    expect_whole(host, stage.domain)
    expect_answers_of(host, stage.domain, 1, "/slow/?s=0")
    assert walk.run_job(stage, 1000) == 168
