"""The Ansible role, by Ansible itself, on a host that is a copy of this one (tests/ansible/sandbox):
fresh with --check, laid out, laid out again, changed. Tests go on from each other, in this order."""

import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))
from hosting.process import Child  # noqa: E402
from hosting.wait import wait_for  # noqa: E402

ROLE = TOP / "packaging/ansible"
DEBS = pathlib.Path(os.environ["AMY_DEBS"])
WEBAPPS = pathlib.Path("/webapps")
PRODUCTION = WEBAPPS / "example.org"
SECRET = "correct horse battery staple"
PATIENCE_S = 300
START_S = 60


class Play:
    """What a run of site.yml did."""

    def __init__(self, *arguments, stage="production", book="site.yml", **variables):
        variables = {"amy_debs": str(DEBS), "ansible_connection": "local",
                     "ansible_python_interpreter": "/usr/bin/python3", "vault": {"key": SECRET}} | variables
        done = subprocess.run(
            ["ansible-playbook", "-i", f"inventories/{stage}", book, "-e", json.dumps(variables), *arguments],
            cwd=ROLE, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
            env={"PATH": os.environ["PATH"], "HOME": "/root", "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
                 "ANSIBLE_DEPRECATION_WARNINGS": "0"})
        self.code, self.text = done.returncode, done.stdout + done.stderr
        counts = re.search(r"^\S+ +: (ok=.*)$", self.text, re.M)
        self.counts = dict(re.findall(r"(\w+)=(\d+)", counts[1])) if counts else {}

    @property
    def changed(self):
        """The tasks that changed something, and the items of loops."""
        return re.findall(r"^changed: .*$", self.text, re.M)

    def done(self):
        assert self.code == 0 and self.counts["failed"] == "0", self.text
        return self


def everything_below(*paths):
    """What lies there: names, kinds, owners, modes, contents."""
    seen = {}
    for top in paths:
        for path in [top, *sorted(top.rglob("*"))] if top.exists() else []:
            facts = path.lstat()
            seen[str(path)] = (facts.st_uid, facts.st_gid, facts.st_mode,
                               path.read_bytes() if path.is_file() and not path.is_symlink() else None)
    return seen


def host_state():
    return everything_below(WEBAPPS, *map(pathlib.Path, (
        "/etc/amy", "/etc/passwd", "/etc/group", "/etc/apt", "/var/lib/dpkg/status", "/var/cache/amy-packages",
        "/usr/bin/amyctl", "/root/.ansible")))


def status(domain):
    done = subprocess.run(["amyctl", "status", domain, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", autouse=True)
def fresh():
    """Nothing of ours is on this host."""
    assert pathlib.Path("/proc/1/comm").read_text() != "systemd\n", "not on the host itself"
    for name in ("amy", "amy-example", "amy-demo"):
        subprocess.run(["userdel", name], check=False, capture_output=True)
    subprocess.run(["groupdel", "amy-admin"], check=False, capture_output=True)
    assert not WEBAPPS.exists() and shutil.which("amyctl") is None


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    """Started as systemd would; without it the role leaves that to others."""
    Play("--tags", "amy_packages").done()
    logs = tmp_path_factory.mktemp("daemons")
    for name in ("workers", "front", "backup"):
        child = Child(name, [shutil.which(f"amy-{name}")], logs / name)
        wait_for(lambda: answers(child), START_S, f"amy-{name} answers")
    return logs


def answers(child):
    assert child.code is None, child.output()
    return pathlib.Path(f"/run/amy/{child.name}.sock").exists()


def test_check_on_a_fresh_host_works_and_changes_nothing():
    before = host_state()
    play = Play("--check", "--diff").done()
    assert int(play.counts["changed"]) > 3, play.text
    after = host_state()
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == set()


@pytest.fixture(scope="module")
def laid_out(daemons):
    return Play().done()


def test_first_run_lays_the_site_out(laid_out):
    user = pwd.getpwnam("amy-example")
    assert user.pw_shell == "/usr/sbin/nologin"
    assert (PRODUCTION / "site.yaml").stat().st_uid == 0
    assert (PRODUCTION / "DB_backups").stat().st_mode & 0o7777 == 0o700
    assert (PRODUCTION / "DB_backups").stat().st_uid == user.pw_uid


def test_second_run_changes_nothing(laid_out):
    play = Play().done()
    assert play.changed == [] and play.counts["changed"] == "0", play.text


def test_amyctl_init_has_nothing_to_add(laid_out):
    """But for repo/, which the first deployment makes."""
    done = subprocess.run(["amyctl", "init", "example.org", "--dry-run"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    added = [line for line in done.stdout.splitlines() if line.startswith(("would add", "differs"))]
    assert [line for line in added if "/repo " not in line] == []


# ---- what is wrong

BAD = {
    "no domain": ({"config": {}}, "missing required arguments: domain"),
    "unknown key": ({"domain": "example.org", "config": {}, "adress": "x"}, "adress"),
    "domain": ({"domain": "../etc", "config": {}}, "'../etc' needs a domain in small letters"),
    "root": ({"domain": "example.org", "config": {}, "user": "root"}, "a user who is neither root nor amy"),
    "both": ({"domain": "example.org", "config": {}, "template": "site.yaml.j2"}, "either config"),
    "file": ({"domain": "example.org", "config": {}, "down_page": "nowhere.html"},
             "'nowhere.html', which is not on the controller"),
}
BAD_PLAY = """\
- hosts: web
  gather_subset: [min]
  tasks:
    - ansible.builtin.include_tasks: {one}
      loop: "{{{{ bad | dict2items }}}}"
      loop_control: {{loop_var: one, label: "{{{{ one.key }}}}"}}
"""
BAD_TASKS = """\
- block:
    - ansible.builtin.include_role: {name: amy}
      vars: {amy_sites: ["{{ one.value }}"]}
    - ansible.builtin.debug: {msg: "ACCEPTED {{ one.key }}"}
  rescue:
    - ansible.builtin.debug: {msg: "REFUSED {{ one.key }}: {{ ansible_failed_result | to_json }}"}
"""


def test_bad_variable_is_told_before_anything_is_touched(tmp_path):
    (tmp_path / "one.yml").write_text(BAD_TASKS)
    (tmp_path / "bad.yml").write_text(BAD_PLAY.format(one=tmp_path / "one.yml"))
    before = host_state()
    play = Play(book=tmp_path / "bad.yml", bad={kind: site for kind, (site, _) in BAD.items()}).done()
    for kind, (_, message) in BAD.items():
        refused = re.search(f"REFUSED {kind}: (.*)", play.text)
        assert refused and message in refused[1], f"{kind}: {play.text}"
    assert play.changed == [] and host_state() == before


def test_unusable_site_yaml_is_told_and_the_old_one_stays(laid_out):
    before = host_state()
    play = Play("--diff", amy_sites=[{"domain": "example.org", "config": {"workers": [{"name": "web", "cuont": 3}]}}])
    assert play.code != 0 and re.search(r"site.yaml:\d+:\d+: workers\[0\].cuont: unknown key", play.text), play.text
    assert host_state() == before
