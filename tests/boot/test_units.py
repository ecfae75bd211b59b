"""The units in a booted machine: what systemd does when something ends, hangs
or is asked."""

import threading

import pytest

from hosting import walk
from hosting.load import TlsLoad
from hosting.wait import wait_for
from support import DOMAIN, UNITS, WEB, pids_of

SOON_S = 60
SLOW_S = 4


class UnderWay:
    """A request that holds a worker for a while; its answer is read meanwhile."""

    def __init__(self, server, path=f"/slow/?s={SLOW_S}"):
        self.answer = None
        self.error = None
        self._thread = threading.Thread(target=self._ask, args=(server, path), daemon=True)
        self._thread.start()
        wait_for(lambda: busy_slots(server) > 0, SOON_S, "a worker has the request")

    def _ask(self, server, path):
        try:
            self.answer = server.get(path=path)
        except Exception as error:
            self.error = error

    def end(self):
        self._thread.join(SOON_S)
        return self.error or self.answer.status


def busy_slots(server):
    return walk.site_parts(server.status(), DOMAIN)["slots"][WEB]["busy"]


def is_another(server, unit, pid):
    now = server.machine.main_pid(unit)
    return now not in {0, pid} and server.machine.show(unit, "ActiveState") == "active"


def change_unit(server, unit, text):
    """As an administrator does: a file beside the unit's own."""
    server.run(f"mkdir -p /etc/systemd/system/{unit}.service.d && "
               f"cat >/etc/systemd/system/{unit}.service.d/change.conf && systemctl daemon-reload",
               data=text)


def expect_whole(server):
    """It serves, all workers are there, none of them twice, nothing has failed."""
    server.wait_until_it_serves()
    server.wait_until_whole()
    walk.form_signs_guest_book(server.stage())
    assert len(pids_of(server, "manage.py rqscheduler")) == 1
    assert len(pids_of(server, "manage.py rqworker")) == 1
    assert server.run("systemctl is-system-running").stdout.strip() == "running"


def test_amy_workers_is_killed_and_what_its_workers_have_is_finished(server):
    server.wait_until_whole()
    pid = server.machine.main_pid("amy-workers")
    request = UnderWay(server)
    server.kill(pid)
    wait_for(lambda: is_another(server, "amy-workers", pid), SOON_S, "amy-workers is back")
    assert request.end() == 200
    expect_whole(server)
    assert server.machine.show("amy-workers", "NRestarts") == "1"


def test_amy_front_is_killed_and_the_next_one_serves(server):
    server.wait_until_whole()
    workers = server.machine.main_pid("amy-workers")
    pid = server.machine.main_pid("amy-front")
    request = UnderWay(server)
    server.kill(pid)
    wait_for(lambda: is_another(server, "amy-front", pid), SOON_S, "amy-front is back")
    assert request.end() == 200, "its processes finish what they have"
    expect_whole(server)
    assert server.machine.show("amy-front", "NRestarts") == "1"
    assert server.machine.main_pid("amy-workers") == workers, "the workers have not noticed"


def test_amy_backup_is_killed_and_visitors_do_not_notice(server):
    pid = server.machine.main_pid("amy-backup")
    with TlsLoad(server, DOMAIN, "/healthz", connections=4) as load:
        server.kill(pid)
        wait_for(lambda: is_another(server, "amy-backup", pid), SOON_S, "amy-backup is back")
        report = load.stop()
    assert report.sent and not report.lost and set(report.by_status) == {200}, str(report)
    wait_for(server.backup_is_ready, SOON_S, "amy-backup knows the site")
    made = walk.job_of(server.stage(), "now", DOMAIN)["set"]
    assert made["verdict"] == "parsed", made


@pytest.mark.parametrize("unit", UNITS)
def test_a_main_process_that_hangs_is_replaced_by_the_watchdog(server, unit):
    """It is there and does nothing: stopped, as one in a loop or on a dead disk."""
    assert server.machine.show(unit, "WatchdogUSec") == "1min"
    change_unit(server, unit, "[Service]\nWatchdogSec=10s\n")  # as a minute is long
    server.run(f"systemctl restart {unit}")
    server.wait_until_whole()
    pid = server.machine.main_pid(unit)
    server.run(f"kill -STOP {pid}")
    wait_for(lambda: is_another(server, unit, pid), 2 * SOON_S, f"{unit} is back")
    expect_whole(server)
    assert f"{unit}.service: Watchdog timeout" in server.journal("--unit", unit)


@pytest.mark.parametrize("unit", UNITS)
def test_a_restart_brings_all_of_it_back(server, unit):
    server.wait_until_whole()
    pid = server.machine.main_pid(unit)
    server.run(f"systemctl restart {unit}")
    assert is_another(server, unit, pid)
    expect_whole(server)
    assert server.machine.show(unit, "Result") == "success"


def test_a_reload_with_a_mistake_keeps_what_serves_and_tells_of_it(server):
    site = server.stage().site
    good = site.yaml.read_text()
    site.write_yaml(good + "nonsense: [1\n")
    server.run("systemctl reload amy-front amy-workers", check=False)

    def told():
        return walk.site_parts(server.status(), DOMAIN)["problems"]

    problems = wait_for(told, SOON_S, "the status tells of the mistake")
    assert "site.yaml" in str(problems), problems
    assert server.get().status == 200
    site.write_yaml(good)
    server.run("systemctl reload amy-front amy-workers")
    wait_for(lambda: not told(), SOON_S, "the status is clean again")
    expect_whole(server)


def test_all_of_it_stops_and_starts(server):
    """In any order: either may be there first."""
    server.wait_until_whole()
    server.run("systemctl stop amy-front amy-workers amy-backup", timeout_s=120)
    left = server.run("ps -e -o user=,pid=,args= | grep -E '^amy|amy-(front|workers|backup)' "
                      "| grep -v grep", check=False).stdout
    assert not left, f"still there:\n{left}"
    for unit in ("amy-front", "amy-workers", "amy-backup"):
        server.run(f"systemctl start {unit}")
    expect_whole(server)


def test_a_worker_that_the_kernel_kills_does_not_stop_the_unit(server):
    """As the OOM killer does; the kernel's own one needs a controller of memory,
    so the policy is asked for."""
    server.wait_until_whole()
    pid = server.machine.main_pid("amy-workers")
    victims = pids_of(server, "gunicorn")
    server.kill(" ".join(victims))
    wait_for(lambda: not set(victims) & set(pids_of(server, "gunicorn")), SOON_S, "they are gone")
    expect_whole(server)
    assert server.machine.main_pid("amy-workers") == pid
    for unit in UNITS:
        assert server.machine.show(unit, "OOMPolicy") == "continue"


def test_certbot_renews_and_the_new_certificate_is_served(server):
    """By the timer's own service, with nothing that tells us."""
    with server.connect() as connection:
        before = connection.certificate()
    assert server.run("systemctl is-enabled certbot.timer").stdout.strip() == "enabled"
    server.run(f"sed -i '1i renew_before_expiry = 3000 days' /etc/letsencrypt/renewal/{DOMAIN}.conf")
    # It would wait for some hours at random.
    change_unit(server, "certbot", "[Service]\nExecStart=\n"
                "ExecStart=/usr/bin/certbot -q renew --no-random-sleep-on-renew\n")
    server.run("systemctl start certbot.service")

    def is_new():
        with server.connect() as connection:
            return connection.certificate() != before

    wait_for(is_new, SOON_S, "the renewed certificate is served")
    expect_whole(server)
