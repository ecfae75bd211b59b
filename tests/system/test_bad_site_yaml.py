"""Bad input: site.yaml. Each fault is named with its place, touches its own site
only, and a running site goes on with the last copy that was accepted."""

import os
import pwd

import pytest
from hosting import walk
from hosting.host import binaries
from hosting.process import Child
from hosting.users import is_root
from hosting.wait import wait_for
from support import TINY, TINY_YAML, deploy_tiny

SOON_S = 30
GOOD = """\
site: {domain}
user: {user}
http: serve
workers:
  - {{name: web, wsgi: tiny:application}}
"""


def check(host, daemon):
    """`daemon --check`: (exit code, what it printed)."""
    child = Child(daemon, [binaries() / daemon, *host.options(), "--check"],
                  host.root / f"{daemon}.check.log")
    return child.wait(SOON_S), child.output()


def text(host, yaml=GOOD):
    return yaml.format(domain=TINY, user=host.user.name)


@pytest.mark.root
@pytest.mark.parametrize("daemon", ["amy-front", "amy-workers"])
def test_check_looks_for_the_fronts_user(new_host, daemon):
    """Beside everything else that is wrong."""
    host = new_host()
    host.site(TINY).write_yaml(text(host).replace("http: serve", "http: maybe"))
    host.write_settings(user="amy-not-there")
    code, output = check(host, daemon)
    assert code == 1
    assert (f"{host.settings}: front.user: there is no user 'amy-not-there' for the front processes: "
            "adduser --system --group amy-not-there") in output
    assert "'maybe'" in output


FAULTS = {
    "tab": (lambda good: good + "limits:\n\tbody: 1MiB\n", 7, "tab"),
    "unknown key": (lambda good: good + "colour: red\n", 6, "colour"),
    "unknown key within": (lambda good: good + "limits: {bodi: 1MiB}\n", 6, "bodi"),
    "duplicate key": (lambda good: good + "http: off\n", 6, "http"),
    "wrong unit": (lambda good: good + "limits: {body: 20 apples}\n", 6, "body"),
    "unit of another kind": (lambda good: good + "gate: {retry_after: 20MiB}\n", 6, "retry_after"),
    "no duration": (lambda good: good + "gate: {retry_after: soon}\n", 6, "retry_after"),
    "unknown word": (lambda good: good.replace("http: serve", "http: maybe"), 3, "http"),
    "negative count": (lambda good: good.replace("application}", "application, count: -1}"), 5,
                       "count"),
    "route to no pool": (lambda good: good + "routes:\n  - {path: /, pool: nobody}\n", 7, "nobody"),
    "two pools of a name": (lambda good: good + "  - {name: web, command: [true]}\n", 6, "web"),
    "neither wsgi nor command": (lambda good: good + "  - {name: x}\n", 6, "command"),
    "no domain as alias": (lambda good: good + "aliases: [a_b!]\n", 6, "a_b!"),
    "no yaml": (lambda good: good + "limits: {body: [\n", None, ""),
    "no site": (lambda good: good.replace(f"site: {TINY}\n", ""), None, "site"),
    "no user": (lambda good: "".join(line for line in good.splitlines(True)
                                     if not line.startswith("user:")), None, "user"),
    "user that does not exist": (
        lambda good: "".join("user: no-such-user\n" if line.startswith("user:") else line
                             for line in good.splitlines(True)), 2, "no-such-user"),
    "root as user": (
        lambda good: "".join("user: root\n" if line.startswith("user:") else line
                             for line in good.splitlines(True)), 2, "root"),
    "empty": (lambda good: "", None, ""),
    "a list": (lambda good: "- site\n", 1, ""),
    "binary": (lambda good: good + "\x01\x02\n", 6, ""),
}


@pytest.mark.parametrize("daemon", ["amy-front", "amy-workers"])
@pytest.mark.parametrize("fault", FAULTS)
def test_check_names_the_place(tiny, daemon, fault):
    spoil, line, word = FAULTS[fault]
    if fault == "root as user" and not is_root():
        word = ""
    tiny.tiny.write_yaml(spoil(text(tiny)))
    code, output = check(tiny, daemon)
    assert code == 1, output
    place = f"{TINY}/site.yaml:{line}:" if line else f"{TINY}/site.yaml"
    assert any(place in row and word in row for row in output.splitlines()), output


@pytest.mark.parametrize("daemon", ["amy-front", "amy-workers"])
def test_check_of_a_good_site_is_silent_about_it(tiny, daemon):
    code, output = check(tiny, daemon)
    assert code == 0, output


@pytest.mark.parametrize("daemon", ["amy-front", "amy-workers"])
def test_three_faults_are_named_at_once(tiny, daemon):
    tiny.tiny.write_yaml(text(tiny).replace("http: serve", "http: maybe")
                         + "limits: {body: 5 apples}\nshape: round\n")
    code, output = check(tiny, daemon)
    assert code == 1
    for line, word in ((3, "http"), (6, "body"), (7, "shape")):
        assert any(f"site.yaml:{line}:" in row and word in row for row in output.splitlines()), output


@pytest.mark.parametrize("fault", ["tab", "unknown key", "user that does not exist", "empty"])
def test_running_site_goes_on_and_status_tells(running, fault):
    running.tiny.write_yaml(FAULTS[fault][0](text(running)))
    reloaded = running.amyctl("reload", TINY, check=False)
    assert reloaded.returncode == 1 and "site.yaml" in reloaded.stdout + reloaded.stderr
    assert running.get(TINY, tls=False).status == 200
    site = walk.site_parts(running.status(), TINY)
    assert site["problems"] and all("site.yaml" in p["file"] for p in site["problems"])
    # The copy serves after a new start, too.
    running.front.stop()
    running.workers.stop()
    running.start_workers()
    running.start_front()
    assert running.get(TINY, tls=False).status == 200
    assert walk.site_parts(running.status(), TINY)["problems"]
    # Mended, it is forgotten.
    running.tiny.write_yaml(text(running))
    running.amyctl("reload", TINY)
    assert walk.site_parts(running.status(), TINY)["problems"] == []


def test_bad_site_does_not_touch_its_neighbour(tiny, django_venv):
    other = deploy_tiny(tiny, "other.localhost", django_venv)
    other.write_yaml("site: other.localhost\nuser: [\n")
    tiny.start_workers()
    tiny.start_front()
    assert tiny.get(TINY, tls=False).status == 200
    assert tiny.get("other.localhost", tls=False).status == 421, "never accepted: no site yet"
    assert walk.site_parts(tiny.status(), "other.localhost")["problems"]


@pytest.mark.root
@pytest.mark.parametrize("what", ["file", "directory", "parent"])
@pytest.mark.parametrize("how", ["owner", "group", "world"])
def test_writable_by_the_sites_user_is_refused(tiny, what, how):
    path = {"file": tiny.tiny.yaml, "directory": tiny.tiny.directory, "parent": tiny.webapps}[what]
    mode = os.stat(path).st_mode & 0o777
    if how == "owner":
        os.chown(path, tiny.user.uid, -1)
    elif how == "group":
        os.chown(path, -1, tiny.user.gid)
        path.chmod(mode | 0o020)
    else:
        path.chmod(mode | 0o002)
    for daemon in ("amy-front", "amy-workers"):
        code, output = check(tiny, daemon)
        assert code == 1 and str(path) in output, output
        assert {"owner": tiny.user.name, "group": "group", "world": "anybody"}[how] in output
    os.chown(path, 0, 0)
    path.chmod(mode)
    assert check(tiny, "amy-front")[0] == 0


@pytest.mark.root
def test_site_user_is_who_site_yaml_says(running):
    worker = walk.workers_of(running.status(), TINY, "web")[0]
    assert os.stat(f"/proc/{worker['pid']}").st_uid == pwd.getpwnam(running.user.name).pw_uid


@pytest.mark.parametrize("daemon", ["amy-front", "amy-workers"])
@pytest.mark.parametrize("yaml, word", [
    ("front: {processes: many}\n", "processes"), ("colour: red\n", "colour"),
    ("front: {https: ['no address']}\n", "https"), ("front:\n\tprocesses: 1\n", "tab"),
])
def test_bad_amy_yaml_is_refused(tiny, daemon, yaml, word):
    tiny.settings.write_text(yaml)
    code, output = check(tiny, daemon)
    assert code == 1 and "amy.yaml:" in output and word in output, output


@pytest.mark.parametrize("daemon", ["amy-front", "amy-workers"])
def test_missing_amy_yaml_that_was_named_is_an_error(tiny, daemon):
    tiny.settings.unlink()
    code, output = check(tiny, daemon)
    assert code == 1 and "amy.yaml" in output


def test_reload_takes_a_new_site_and_lets_an_old_one_go(running, django_venv):
    deploy_tiny(running, "other.localhost", django_venv)
    running.amyctl("reload")
    wait_for(lambda: running.get("other.localhost", tls=False).status == 200, SOON_S, "a new site")
    running.sites["other.localhost"].yaml.unlink()
    running.amyctl("reload")
    wait_for(lambda: running.get("other.localhost", tls=False).status == 421, SOON_S, "it is gone")
    assert running.get(TINY, tls=False).status == 200
