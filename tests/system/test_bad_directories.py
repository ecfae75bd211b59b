"""Bad input: directories of webapps that are no sites, or not quite."""

import shutil

import pytest
from hosting import walk
from hosting.wait import wait_for
from support import TINY, children_of, deploy_tiny

SOON_S = 60
DAEMONS = ("amy-front", "amy-workers")


def test_no_site(new_host):
    host = new_host()
    (host.webapps / "empty.localhost").mkdir()
    for daemon in DAEMONS:
        child = host.daemon(daemon, "--check")
        assert child.wait(SOON_S) == 0
        assert child.output() == (f"{host.webapps}: warning: no site here: "
                                  "none of its directories has a site.yaml\n")
    host.start_workers()
    host.start_front()
    assert host.get("anything.localhost", tls=False).status == 421
    assert host.amyctl("status").stdout.endswith("\nno sites\n")


def test_no_webapps_directory_is_an_error(new_host):
    host = new_host()
    host.webapps.rmdir()
    for daemon in DAEMONS:
        child = host.daemon(daemon)
        assert child.wait(SOON_S) == 1
        assert str(host.webapps) in child.output()


def test_empty_site_directory_is_passed_over(tiny):
    (tiny.webapps / "empty.localhost").mkdir()
    tiny.start_workers()
    tiny.start_front()
    assert tiny.get(TINY, tls=False).status == 200
    assert tiny.get("empty.localhost", tls=False).status == 421


@pytest.mark.parametrize("name", ["not_a_domain", "UPPER.localhost", "-dash.localhost", "a..b",
                                  "blank in.name", "x" * 64 + ".localhost", "file.txt~"])
def test_name_that_is_no_domain(tiny, name):
    shutil.copytree(tiny.tiny.directory, tiny.webapps / name, symlinks=True)
    text = tiny.tiny.yaml.read_text().replace(TINY, f'"{name}"')
    (tiny.webapps / name / "site.yaml").write_text(text)
    tiny.start_workers()
    tiny.start_front()
    assert tiny.get(TINY, tls=False).status == 200
    assert name in tiny.front.output() + tiny.workers.output()
    assert len(children_of(tiny.workers.pid)) == 2, "no second set of workers"


def test_copied_directory_is_no_second_site(tiny):
    copy = tiny.webapps / "copy.localhost"
    shutil.copytree(tiny.tiny.directory, copy, symlinks=True)
    tiny.start_workers()
    tiny.start_front()
    assert tiny.get(TINY, tls=False).status == 200
    assert tiny.get("copy.localhost", tls=False).status == 421
    assert len(children_of(tiny.workers.pid)) == 2, "no second set of workers"
    problems = walk.site_parts(tiny.status(), "copy.localhost")["problems"]
    assert any(TINY in problem["message"] for problem in problems), problems


def test_plain_file_and_dangling_link_are_passed_over(tiny):
    (tiny.webapps / "file.localhost").write_text("no directory")
    (tiny.webapps / "link.localhost").symlink_to("nowhere")
    tiny.start_workers()
    tiny.start_front()
    assert tiny.get(TINY, tls=False).status == 200


def test_domain_of_253_characters_is_served(new_host, django_venv):
    label = "a" * 61
    domain = f"{label}.{label}.{label}.{'b' * 57}.localhost"
    assert len(domain) == 253
    host = new_host()
    deploy_tiny(host, domain, django_venv)
    host.start_workers()
    host.start_front()
    assert host.get(domain, tls=False).status == 200
    assert host.get(domain).status == 200
    host.amyctl("maintenance", "on", domain)
    assert host.get(domain, tls=False).status == 503


def test_site_directory_that_vanishes(running):
    shutil.rmtree(running.tiny.directory)
    running.amyctl("reload", check=False)
    wait_for(lambda: running.get(TINY, tls=False).status == 421, SOON_S, "it is gone")
    wait_for(lambda: not children_of(running.workers.pid), SOON_S, "its workers, too")
    assert running.front.code is None and running.workers.code is None
