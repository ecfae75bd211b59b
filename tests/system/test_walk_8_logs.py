"""The walk, 8: all logs of the demo's site in one stream."""

import json

from hosting import walk
from hosting.wait import wait_for

SOON_S = 30


def lines_of(stage, *options):
    out = stage.host.amyctl("logs", stage.domain, "--json", *options).stdout
    return [json.loads(line) for line in out.splitlines()]


def test_requests_jobs_and_backups_are_told_by_time(stage):
    walk.logs_are_one_stream(stage)
    assert walk.run_job(stage, 100) == 25
    made = walk.job_of(stage, "now", stage.domain)["set"]["name"]

    def told():
        lines = lines_of(stage)
        return (any(line.get("pool") == "rq" and "Job OK" in line["message"] for line in lines)
                and any(line["component"] == "backup" and made in line["message"]
                        for line in lines) and lines)

    lines = wait_for(told, SOON_S, "the job's and the backup's lines")
    times = [line["time"] for line in lines if line["component"] == "access"]
    assert times == sorted(times)
    backups = [line for line in lines if line["component"] == "backup"]
    jobs = [line for line in lines if line.get("pool") == "rq" and "Job OK" in line["message"]]
    assert lines.index(jobs[0]) < lines.index([b for b in backups if made in b["message"]][0])
    assert all(isinstance(line["pid"], int) for line in jobs)


def test_full_log_is_rotated_and_packed(stage):
    walk.logs_are_rotated(stage)
