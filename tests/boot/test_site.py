"""A booted Debian 12 that serves the example site: what every visitor and every
operator may ask of it, and that it is there again after a reboot."""

import pytest

from hosting import walk
from support import UNITS

# What the hardened units have to let through: the steps of the demo's walk that
# need no browser.
STEPS = (
    walk.redirects_to_https, walk.form_signs_guest_book, walk.scheduler_runs_a_job,
    walk.takes_a_large_upload, walk.streams, walk.serves_static_files, walk.health_is_good,
    walk.gate_closes_and_opens, walk.worker_comes_back, walk.front_process_comes_back,
    walk.broken_release_is_refused, walk.good_release_goes_through,
    walk.is_backed_up_and_restored, walk.logs_are_one_stream, walk.logs_are_rotated,
    walk.status_tells_all, walk.status_tells_of_redis,
)


def test_the_walk_of_the_demo_in_a_booted_machine(server):
    stage = server.stage()
    server.wait_until_whole()
    for step in STEPS:
        step(stage)
    assert no_unit_has_failed(server)


def no_unit_has_failed(server):
    return server.run("systemctl is-system-running").stdout.strip() == "running"


@pytest.mark.parametrize("end", ["reboot", "cut_power"])
def test_after_a_reboot_the_site_serves_without_a_hand(server, end):
    before = server.run("cat /proc/sys/kernel/random/boot_id").stdout
    getattr(server.machine, end)()
    if end == "cut_power":
        server.machine.boot()
    took = server.wait_until_it_serves()
    server.wait_until_whole()
    assert server.run("cat /proc/sys/kernel/random/boot_id").stdout != before
    for unit in UNITS:
        assert server.machine.show(unit, "ActiveState") == "active"
        assert server.machine.show(unit, "NRestarts") == "0"
    walk.form_signs_guest_book(server.stage())
    assert no_unit_has_failed(server)
    print(f"after {end}: the site serves {took:.1f} s after the machine is up")
