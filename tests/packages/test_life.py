"""The daemons of the packages serve; upgrade, downgrade, removal, purge."""

import re

import pytest

from hosting.wait import wait_for

SITE = "example.org"
UNITS = {"amy-front.service", "amy-workers.service", "amy-backup.service"}
SITE_YAML = f"""site: {SITE}
user: box-site
http: serve
routes:
  - {{path: /, files: public}}
workers:
  - {{name: jobs, command: [/usr/bin/sleep, infinity]}}
"""

SETTINGS = "spool: /var/lib/amy/spool\n"

# What dpkg and its triggers keep, and the users (docs/decisions/0151); our
# certificate.
KEPT = re.compile(r"/var/(lib/dpkg|cache|log|lib/systemd/deb-systemd-helper-enabled)(/.*)?"
                  r"|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/etc/\.pwd\.lock|/etc/ld\.so\.cache"
                  r"|/etc/letsencrypt(/.*)?")


def lay_out_site(box):
    box.shell(f"""
        useradd --system --user-group --no-create-home --shell /usr/sbin/nologin box-site
        mkdir -p /etc/letsencrypt/live/{SITE}
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={SITE} \
            -addext subjectAltName=DNS:{SITE} -keyout /etc/letsencrypt/live/{SITE}/privkey.pem \
            -out /etc/letsencrypt/live/{SITE}/fullchain.pem 2>/dev/null
        mkdir -p /webapps/{SITE}/public /webapps/{SITE}/repo
        /usr/bin/python3 -m venv --without-pip /webapps/{SITE}/repo/.venv
        install -d -o box-site -g box-site -m 750 /webapps/{SITE}/logs
        echo hello >/webapps/{SITE}/public/index.html""")
    box.write(f"/webapps/{SITE}/site.yaml", SITE_YAML)


def fetch(box, scheme="http"):
    _, output = box.run("curl", "--silent", "--show-error", "--max-time", "10", "--insecure",
                        "--connect-to", f"{SITE}::127.0.0.1:", f"{scheme}://{SITE}/index.html", check=False)
    return output


def start_all(box):
    for program in ("amy-front", "amy-workers", "amy-backup"):
        box.start(program)
    wait_for(lambda: fetch(box) == "hello\n", 30, "the site")
    for daemon in ("front", "workers", "backup"):
        wait_for(box.path(f"/run/amy/{daemon}.sock").exists, 30, f"{daemon}.sock")


def processes(box):
    """All of ours and of the site's, with pid and start: a list to compare."""
    _, output = box.run("ps", "-o", "pid=,lstart=,comm=", "-C", "amy-front,amy-workers,sleep", check=False)
    return sorted(line.split() for line in output.splitlines())


# ---- what is installed works


def test_a_site_is_served_by_what_was_installed(box, packages):
    box.install(*packages.host)
    lay_out_site(box)
    for program in ("amy-front", "amy-workers", "amy-backup"):
        box.run(program, "--check")
    start_all(box)
    assert fetch(box, "https") == "hello\n"
    assert box.users_of("amy-front") == {"root", "amy"}
    assert box.users_of("amy-workers") == {"root"}
    wait_for(lambda: box.users_of("sleep") == {"box-site"}, 30, "the worker")
    assert SITE in box.run("amyctl", "status", SITE)
    assert box.run("stat", "--format=%a %U %G", f"/run/amy/{SITE}").split() == ["750", "root", "amy"]


def test_a_member_of_the_group_may_use_amyctl(box, packages):
    box.install(*packages.host)
    lay_out_site(box)
    start_all(box)
    box.shell("useradd --system --user-group --groups amy-admin box-operator; useradd --system --user-group box-stranger")
    close = ["amyctl", "maintenance", "on", SITE]
    code, said = box.run("setpriv", "--reuid=box-stranger", "--regid=box-stranger", "--init-groups", *close, check=False)
    assert code != 0 and fetch(box) == "hello\n", said
    box.run("setpriv", "--reuid=box-operator", "--regid=box-operator", "--init-groups", *close)
    wait_for(lambda: fetch(box) != "hello\n", 30, "the page")


def test_a_mistake_is_named_with_its_line(box, packages):
    box.install(*packages.host)
    lay_out_site(box)
    box.write(f"/webapps/{SITE}/site.yaml", SITE_YAML + "limits: {body: much}\n")
    code, said = box.run("amy-front", "--check", check=False)
    assert code == 1 and re.search(rf"^/webapps/{SITE}/site\.yaml:8:\d+: .*body", said, re.M)


# ---- other versions


def test_upgrade_and_downgrade_end_no_process_and_no_service(box, packages, next_packages):
    box.install(*packages.host)
    version = box.version("amy")
    lay_out_site(box)
    start_all(box)
    wait_for(lambda: box.pids("sleep"), 30, "the worker")
    box.write("/etc/amy/amy.yaml", SETTINGS)
    before = processes(box)
    for debs, expected in ((next_packages, f"{version}+1"), (packages, version)):
        box.install(*debs.host)
        assert box.version("amy") == box.version("libamy0") == expected
        assert processes(box) == before
        assert fetch(box) == "hello\n"
        assert box.path("/etc/amy/amy.yaml").read_text() == SETTINGS


def test_an_amy_of_another_version_than_its_library_is_refused(box, packages, next_packages):
    box.install(*packages.host)
    code, said = box.run("dpkg", "-i", f"{box.bring(next_packages['amy'])}/{next_packages['amy'].name}", check=False)
    assert code != 0 and "depends on libamy0 (= " in said


# A box is not booted. That a system runs is all that the scripts look for, and
# this notes what they ask of it; tests/boot asks a real one. What only makes
# links is systemctl's own work.
NOTING = """#!/bin/sh
case "$*" in
    *is-enabled*) [ -L "/etc/systemd/system/multi-user.target.wants/$4" ] && echo enabled ;;
    'show --property=MainPID'*) cat "/run/main/$4" 2>/dev/null || echo 0 ;;
    *is-active*) exit 3 ;;
    'kill --kill-who=main --signal=USR2'*) kill -s USR2 "$(cat "/run/main/$4")" ;;
esac
case "$*" in
    *is-*|show*) ;;
    --root=/*) exec /usr/bin/systemctl.real "$@" ;;
    *) echo "$*" >>/run/asked ;;
esac
"""
MAIN = """
import pathlib, signal, sys
note = pathlib.Path(sys.argv[1])
if "takes-over" in sys.argv:
    signal.signal(signal.SIGUSR2, lambda *_: note.with_suffix(".asked").touch())
note.touch()
while True:
    signal.pause()
"""


def boot(box):
    box.shell("mkdir -p /run/systemd/system /run/main; : >/run/asked")
    box.path("/usr/bin/systemctl").rename(box.path("/usr/bin/systemctl.real"))
    box.write("/usr/bin/systemctl", NOTING, 0o755)


def asked(box):
    """All that would change something."""
    lines = box.path("/run/asked").read_text().splitlines()
    return [line.replace("--quiet ", "").replace("--system ", "") for line in lines]


def asked_to(box, verb):
    return {unit for line in asked(box) if line.startswith(f"{verb} ") for unit in line.split()[1:]}


def start_main(box, unit, *arguments):
    process = box.start("/usr/bin/python3", "-c", MAIN, f"/tmp/{unit}", *arguments)
    wait_for(box.path(f"/tmp/{unit}").exists, 30, unit)
    _, pids = box.run("pgrep", "--full", f"/tmp/{unit}", check=False)
    box.write(f"/run/main/{unit}", pids.split()[0])
    return process


def test_a_first_installation_starts_all(box, packages):
    boot(box)
    said = box.install(*packages.host)
    assert asked_to(box, "start") == UNITS
    assert "the first site: amyctl init DOMAIN" in said
    assert "daemon-reload" in asked(box)


def test_an_upgrade_asks_main_processes_that_know_how_to_take_over(box, packages, next_packages):
    box.install(*packages.host)
    boot(box)
    front = start_main(box, "amy-front.service", "takes-over")
    workers = start_main(box, "amy-workers.service")
    said = box.install(*next_packages.host)
    wait_for(box.path("/tmp/amy-front.asked").exists, 30, "SIGUSR2")
    assert "amy-workers.service goes on as the version before" in said
    assert front.poll() is None and workers.poll() is None
    assert asked(box) == ["daemon-reload", "kill --kill-who=main --signal=USR2 amy-front.service"]


def test_needrestart_has_a_main_process_take_over_and_restarts_nothing(box, packages):
    box.install(*packages.host)
    boot(box)
    start_main(box, "amy-front.service", "takes-over")
    box.run("/etc/needrestart/restart.d/amy-front.service")
    wait_for(box.path("/tmp/amy-front.asked").exists, 30, "SIGUSR2")
    assert asked(box) == ["kill --kill-who=main --signal=USR2 amy-front.service"]


def test_needrestart_has_all_workers_renewed_and_waits_for_none(box, packages):
    box.install(*packages.host)
    boot(box)
    for unit in ("amy-workers.service", "amy-backup.service"):
        start_main(box, unit, "takes-over")
        box.run(f"/etc/needrestart/restart.d/{unit}")
    assert asked(box) == ["reload --no-block amy-workers.service",
                          "kill --kill-who=main --signal=USR2 amy-workers.service",
                          "kill --kill-who=main --signal=USR2 amy-backup.service"]


def program_of(box, pid):
    return box.run("readlink", f"/proc/{pid}/exe").strip()


def test_the_daemons_become_the_new_program_as_the_processes_that_they_are(box, packages, next_packages):
    box.install(*packages.host)
    lay_out_site(box)
    start_all(box)
    wait_for(lambda: box.pids("sleep"), 30, "the worker")
    boot(box)
    mains = {name: min(box.pids(name)) for name in ("amy-front", "amy-workers", "amy-backup")}
    workers = box.pids("sleep")
    for name, pid in mains.items():
        box.write(f"/run/main/{name}.service", str(pid))
    for debs in (next_packages, packages):
        said = box.install(*debs.host)
        assert "version before" not in said
        for name, pid in mains.items():
            wait_for(lambda: program_of(box, pid) == f"/usr/bin/{name}", 30, f"the new {name}")
        assert box.pids("sleep") == workers
        assert fetch(box) == "hello\n"


def test_an_upgrade_starts_nothing_that_is_stopped(box, packages, next_packages):
    box.install(*packages.host)
    boot(box)
    box.install(*next_packages.host)
    assert asked(box) == ["daemon-reload"]


def test_a_removal_stops_all_and_another_installation_starts_what_was_enabled(box, packages):
    box.install(*packages.host)
    box.run("systemctl", "disable", "amy-backup.service")
    boot(box)
    box.remove("amy")
    assert asked_to(box, "stop") == UNITS
    box.path("/run/asked").write_text("")
    box.install(*packages.host)
    assert asked_to(box, "start") == UNITS - {"amy-backup.service"}


# ---- the end


def test_a_removal_keeps_state_settings_and_sites(box, packages):
    box.install(*packages.host)
    lay_out_site(box)
    box.write("/etc/amy/amy.yaml", SETTINGS)
    box.write("/var/lib/amy/kept", "state")
    box.remove("amy", "libamy0")
    assert box.path("/etc/amy/amy.yaml").exists() and box.path("/var/lib/amy/kept").exists()
    assert box.path(f"/webapps/{SITE}/site.yaml").exists()
    assert not box.path("/usr/bin/amy-front").exists()


@pytest.mark.parametrize("directly", [True, False], ids=["at once", "after a removal"])
def test_a_purge_leaves_nothing_but_webapps(box, packages, directly):
    before = box.changes()
    box.install(*packages.all)
    lay_out_site(box)
    box.write("/etc/amy/amy.yaml", SETTINGS)
    box.start("amy-front")
    wait_for(lambda: fetch(box) == "hello\n", 30, "the site")
    box.run("kill", min(box.pids("amy-front")))
    wait_for(lambda: not box.pids("amy-front"), 30, "its end")
    site = site_files(box)
    names = ("python3-amy", "libamy-dev", "amy", "libamy0")
    if not directly:
        box.remove(*names)
    box.purge(*names)
    left = {path for path, now in box.changes().items() if before.get(path) != now}
    assert {path for path in left if not KEPT.fullmatch(path) and not path.startswith("/webapps")} == set()
    assert not any(box.path("/run").glob("amy*"))
    assert not any(box.path("/var/lib/dpkg/info").glob("*amy*"))
    assert "amy-front" not in box.shell("find /var/lib/systemd /etc/systemd")
    assert site_files(box) == site
    assert box.run("getent", "passwd", "amy")


def test_a_purge_of_a_host_without_sites_leaves_no_webapps(box, packages):
    box.install(*packages.host)
    box.purge("amy", "libamy0")
    assert not box.path("/webapps").exists()


def site_files(box):
    return box.shell("cd /webapps && find . -printf '%p %m %u %g\\n' | sort")
