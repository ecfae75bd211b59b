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
import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))
from hosting.process import Child  # noqa: E402
from hosting.services import Pebble  # noqa: E402
from hosting.wait import wait_for  # noqa: E402

ROLE = TOP / "packaging/ansible"
DEBS = pathlib.Path(os.environ["AMY_DEBS"])
WEBAPPS = pathlib.Path("/webapps")
PRODUCTION = WEBAPPS / "example.org"
EXAMPLE = TOP / "examples/django-site"
SOURCE = "https://git.example.org/shop.git"  # what the inventories say
REPOSITORY = pathlib.Path("/srv/shop")
SECRET = "correct 'horse' battery $staple"
PATIENCE_S = 600
START_S = 60
CA_BUNDLE = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


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


# Of a site that runs, what it writes itself.
OF_SITES = {"logs", "DB_backups", "releases", "static", "media"}


def everything_below(*paths):
    """What lies there: names, kinds, owners, modes, contents."""
    seen = {}
    for top in paths:
        for path in [top, *sorted(top.rglob("*"))] if top.exists() else []:
            if OF_SITES & set(path.parts):
                continue
            facts = path.lstat()
            seen[str(path)] = (facts.st_uid, facts.st_gid, facts.st_mode,
                               path.read_bytes() if path.is_file() and not path.is_symlink() else None)
    return seen


def host_state():
    return everything_below(WEBAPPS, *map(pathlib.Path, (
        "/etc/amy", "/etc/passwd", "/etc/group", "/etc/apt", "/var/lib/dpkg/status", "/var/cache/amy-packages",
        "/usr/bin/amyctl", "/root/.ansible")))


def shell(command):
    done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def visit(path="/"):
    """What a visitor of the site reads."""
    return shell(f"curl -s --cacert {CA_BUNDLE} --resolve example.org:443:127.0.0.1 https://example.org{path}")


def status(domain):
    return json.loads(shell(f"amyctl status {domain} --json"))


@pytest.fixture(scope="module", autouse=True)
def fresh():
    """Nothing of ours is on this host."""
    assert pathlib.Path("/proc/1/comm").read_text() != "systemd\n", "not on the host itself"
    for name in ("amy", "amy-example", "amy-demo", "deploy"):
        subprocess.run(["userdel", name], check=False, capture_output=True)
    subprocess.run(["groupdel", "amy-admin"], check=False, capture_output=True)
    assert not WEBAPPS.exists() and shutil.which("amyctl") is None


@pytest.fixture(scope="module")
def daemons(fresh, tmp_path_factory):
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


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    """What the host of a Django site has besides: a database, Redis, pip's and git's sources, and certbot's."""
    wheels = pathlib.Path("/srv/wheels")
    shutil.copytree(os.environ["AMY_WHEELS"], wheels)
    pathlib.Path("/etc/pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    shell(f"""
        chmod -R go+rX {wheels}
        cp -R {EXAMPLE} {REPOSITORY}; cd {REPOSITORY}; rm -rf .venv
        git init --quiet --initial-branch=main; git config user.name Ada; git config user.email ada@example.org
        git add --all; git commit --quiet --message=first; git tag v1.0
        git config --system url.{REPOSITORY}.insteadOf {SOURCE}
        git config --system safe.directory '*'
        redis-server --daemonize yes >/dev/null
        install -d -o postgres /run/postgresql
        pg_createcluster --port=5432 --start "$(ls /usr/lib/postgresql | tail -n 1)" role -- --no-sync >/dev/null
        runuser -u postgres -- createuser amy-example
        runuser -u postgres -- createdb --owner=amy-example example""")
    pebble = Pebble(tmp_path_factory.mktemp("pebble"), 80)
    pebble.start()
    with CA_BUNDLE.open("ab") as bundle:
        bundle.write(pebble.authority.certificate.read_bytes() + pebble.certificate.read_bytes())
    yield {"amy_certbot_arguments": ["--server", pebble.url]}
    pebble.stop()


def test_check_on_a_fresh_host_works_and_changes_nothing():
    before = host_state()
    play = Play("--check", "--diff").done()
    assert int(play.counts["changed"]) > 3, play.text
    after = host_state()
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == set()


@pytest.fixture(scope="module")
def deployed(daemons, services):
    return Play(**services).done()


def test_first_run_lays_out_and_deploys(deployed):
    user = pwd.getpwnam("amy-example")
    assert user.pw_shell == "/usr/sbin/nologin"
    facts = (PRODUCTION / "postactivate").stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o7777) == (0, user.pw_gid, 0o640)
    assert os.readlink(PRODUCTION / "repo").startswith("releases/")
    assert "Guest book" in visit()
    assert SECRET not in deployed.text


def test_second_run_changes_nothing(deployed, services):
    play = Play("-vvv", **services).done()
    assert play.counts["changed"] == "0" and play.changed == [], play.text
    assert SECRET not in play.text


@pytest.mark.long
def test_another_ref_is_deployed(deployed, services):
    shell(f"cd {REPOSITORY}; sed -i 's/Guest book/Second edition/' pages/templates/pages/guest_book.html; "
          "git commit --quiet --all --message=second")
    play = Play(amy_ref="main", **services).done()
    assert "Second edition" in visit()
    assert play.counts["changed"] == "1", play.text
    assert not (PRODUCTION / ".reload-due").exists()


@pytest.mark.long
def test_a_change_of_site_yaml_is_reloaded(deployed, services):
    sites = yaml.safe_load((ROLE / "inventories/production/group_vars/web.yml").read_text())["amy_sites"]
    sites[0]["config"]["workers"][0]["count"] = 2
    play = Play(amy_sites=sites, amy_deploy=False, **services).done()
    assert "RUNNING HANDLER [amy : Reload the sites that changed]" in play.text
    workers = [pool["workers"] for pool in status("example.org")["sites"][0]["pools"] if pool["name"] == "web"]
    assert [len(workers[0])] == [2]
    assert not (PRODUCTION / ".reload-due").exists()
    assert Play(amy_sites=sites, amy_deploy=False, **services).done().counts["changed"] == "0"


def test_amyctl_init_has_nothing_to_add(deployed):
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


@pytest.mark.long
def test_unusable_site_yaml_is_told_and_the_old_one_stays(daemons):
    PRODUCTION.mkdir(parents=True, exist_ok=True)
    (PRODUCTION / "site.yaml").touch()
    before = (PRODUCTION / "site.yaml").read_bytes()
    play = Play("--diff", "--tags", "always,amy_sites", amy_sites=[{"domain": "example.org", "config": {"workers": [{"name": "web", "cuont": 3}]}}])
    assert play.code != 0 and re.search(r"site.yaml:\d+:\d+: workers\[0\].cuont: unknown key", play.text), play.text
    assert (PRODUCTION / "site.yaml").read_bytes() == before


@pytest.mark.long
def test_from_a_source_of_apt(daemons):
    shell(f"""
        mkdir /srv/debs; cp {DEBS}/*.deb /srv/debs; cd /srv/debs; dpkg-scanpackages . >Packages 2>/dev/null
        rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*; apt-get -qq purge -y amy libamy0""")
    source = {"amy_debs": "", "amy_apt_source": "deb [trusted=yes] file:/srv/debs ./"}
    checked = Play("--check", "--tags", "amy_packages", **source).done()
    assert checked.counts["changed"] == "1" and shutil.which("amyctl") is None
    Play("--tags", "amy_packages", **source).done()
    assert shutil.which("amyctl")
    assert Play("--tags", "amy_packages", **source).done().counts["changed"] == "0"
