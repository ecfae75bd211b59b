"""Bad input: a virtual environment that does not work."""

import shutil

import pytest
from hosting import users, walk
from hosting.wait import wait_for
from support import TINY, deploy_tiny

SOON_S = 60


def stranger_user():
    """Somebody who has nothing to do with the site; a person has nobody else."""
    return users.User.named("nobody") if users.is_root() else None


def break_python(site):
    for name in ("python", "python3"):
        (site.venv / "bin" / name).unlink()


def postactivate(text):
    def spoil(site):
        (site.venv / "bin/postactivate").write_text(text)
    return spoil


FAULTS = {
    "no python": (break_python, "python"),
    "no venv": (lambda site: shutil.rmtree(site.venv), ".venv"),
    "no activate": (lambda site: (site.venv / "bin/activate").unlink(), "activate"),
    "no repo": (lambda site: shutil.rmtree(site.repo), "repo"),
    "postactivate fails": (postactivate("echo no luck >&2\nfalse\nexit 3\n"), "failed with status"),
    "postactivate is no shell": (postactivate("if then fi fi\n"), "failed with status 2"),
    "postactivate of Windows": (postactivate("export GREETING=x\r\n"), "CR LF"),
    "postactivate hangs": (postactivate("read -r < <(sleep 600)\n"), "5"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_and_the_neighbour_serves(tiny, django_venv, fault):
    spoil, word = FAULTS[fault]
    other = deploy_tiny(tiny, "other.localhost", django_venv)
    spoil(other)
    tiny.start_workers(ready=False)
    tiny.start_front()
    wait_for(lambda: tiny.get(TINY, tls=False).status == 200, SOON_S, "the neighbour serves")

    def told():
        site = walk.site_parts(tiny.status(), "other.localhost")
        reasons = [problem["message"] for problem in site["problems"]]
        reasons.append(site.get("error") or "")
        for pool in site.get("pools", []):
            reasons += [worker["reason"] for worker in pool["workers"]]
        return any(word in reason for reason in reasons)

    wait_for(told, SOON_S, f"status names {word!r}")
    answer = tiny.get("other.localhost", tls=False)
    assert answer.status == 503 and b"One moment" in answer.body


@pytest.mark.parametrize("text, wanted", [
    ("export GREETING='two\nlines' OTHER=x", "two\nlines"),
    ("export GREETING=no-newline", "no-newline"),
    ("GREETING=not-exported\n", None),
    ("export GREETING=$(echo computed)\n", "computed"),
])
def test_variables_reach_the_workers(tiny, text, wanted):
    with open(tiny.tiny.venv / "bin/postactivate", "a") as file:
        file.write(text)
    tiny.start_workers()
    pid = walk.workers_of(tiny.status(), TINY, "web")[0]["pid"]
    with open(f"/proc/{pid}/environ", "rb") as file:
        variables = dict(entry.split(b"=", 1) for entry in file.read().split(b"\0") if entry)
    value = variables.get(b"GREETING")
    assert value == (None if wanted is None else wanted.encode())
    assert variables[b"VIRTUAL_ENV"] == str(tiny.tiny.venv).encode()
    assert variables[b"PATH"].startswith(f"{tiny.tiny.venv}/bin:".encode())
    assert b"SUDO_USER" not in variables and b"SSH_AUTH_SOCK" not in variables


def test_values_of_the_environment_are_never_logged(tiny):
    with open(tiny.tiny.venv / "bin/postactivate", "a") as file:
        file.write("export PASSWORD=hunter-two\n")
    tiny.start_workers()
    tiny.start_front()
    tiny.amyctl("reload", TINY)
    logs = "".join(file.read_text() for file in tiny.tiny.logs.iterdir())
    shown = tiny.front.output() + tiny.workers.output() + tiny.amyctl("status", "--json").stdout
    assert "hunter-two" not in logs + shown


def test_value_that_the_shell_quotes_reaches_only_who_may_reload(running):
    with open(running.tiny.venv / "bin/postactivate", "a") as file:
        file.write("export SECRET_KEY=abc hunter2-is-my-password\n")
    refused = running.amyctl("reload", TINY, check=False)
    assert refused.returncode == 1
    assert "failed with status 1" in refused.stderr and "hunter2" in refused.stderr, refused
    assert "hunter2" in (running.tiny.logs / "gunicorn_supervisor.log").read_text()
    stranger = running.amyctl("status", "--json", user=stranger_user())
    assert "failed with status 1" in stranger.stdout and "hunter2" not in stranger.stdout
    assert "failed with status 1" in running.workers.output()
    assert "hunter2" not in running.workers.output()


def test_last_lines_of_a_worker_reach_only_who_may_reload(running):
    with open(running.tiny.repo / "tiny.py", "a") as file:
        file.write("\nraise RuntimeError('postgres://u:hunter2@db/x')\n")
    refused = running.amyctl("reload", TINY, check=False)
    assert refused.returncode == 1 and "hunter2" in refused.stderr, refused
    stranger = running.amyctl("status", "--json", user=stranger_user())
    assert "hunter2" not in stranger.stdout + running.workers.output()
