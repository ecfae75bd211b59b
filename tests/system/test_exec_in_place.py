"""SIGUSR2: a daemon goes on as the program that is installed now, in the same
process. Nobody who asks meanwhile notices; downgrades go the same way."""

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import pytest
import websocket
from hosting import walk
from hosting.load import PlainLoad, TlsLoad, fnv1a
from hosting.rawhttp import Broken, Connection, client_context
from hosting.services import free_port
from hosting.site import copy_file
from hosting.wait import wait_for
from releasing import is_whole
from support import HERE, TINY, TINY_YAML, deploy_tiny
from upgrading import (NEW, OLD, SOON_S, Installed, children, expect_nothing_leaked, held, open_files,
                       upgrade, zombies)

YAML = TINY_YAML.replace("gate:", """\
  - {{name: scheduler, command: [python, beat.py], replace: stop-first}}
  - {{name: loud, command: [python, loud.py]}}
gate:""")
PATHS = ["/fixed", "POST /echo"]


@pytest.fixture(scope="module")
def host(host_for_module, django_venv):
    made = host_for_module
    made.installed = Installed(made.root).use_for(made)
    made.tiny = deploy_tiny(made, TINY, django_venv, YAML)
    copy_file(HERE / "apps" / "loud.py", made.tiny.repo / "loud.py")
    made.start_workers()
    made.start_front()
    return made


def front_pids(host, key="processes"):
    return {process["pid"] for process in host.daemon_status("front")[key]}


def version(host, daemon):
    return host.daemon_status(daemon)["version"]


def front_is_settled(host):
    return host.front_is_ready() and not front_pids(host, "leaving")


def upgrade_front(host, release=None):
    """To the other release, and until the old processes have gone."""
    now = version(host, "front").encode()
    host.installed.install(release or (NEW if now == OLD else OLD))
    done = upgrade(host, host.front, "front")
    wait_for(host.front_is_ready, SOON_S, "the new processes serve")
    return done


def upgrade_front_and_settle(host):
    done = upgrade_front(host)
    wait_for(lambda: front_is_settled(host), SOON_S, "the old processes have finished")
    return done


def access_lines(host):
    log = host.tiny.logs / "access.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in lines if " /fixed " in line or " /echo " in line]


# ---- the front


def test_front_goes_on_as_another_release_under_load(host):
    pid, before, was = host.front.pid, front_pids(host), host.daemon_status("front")["upgrade"]
    with PlainLoad(host, TINY, PATHS, 8, rate=300) as load, TlsLoad(host, TINY, "/fixed", 2) as tls:
        for times, (old, new) in enumerate([(OLD, NEW), (NEW, OLD)], 1):
            done = upgrade_front_and_settle(host)
            assert done["refusal"] == "" and done["count"] == was["count"] + times
            assert done["from"].encode() == old and version(host, "front").encode() == new
            assert not front_pids(host) & before
            before = front_pids(host)
    assert host.front.pid == pid and host.front.code is None
    for report in (load.report, tls.report):
        assert report.lost == 0 and set(report.by_status) == {200}, report
    asked = load.report.answered + tls.report.answered
    wait_for(lambda: len(access_lines(host)) == asked, SOON_S, "no line is lost, none comes twice")
    assert all(line.count(" HTTP/1.1") == 1 for line in access_lines(host)), "none is torn"


def test_front_has_lost_nothing_after_ten_times(host):
    upgrade_front_and_settle(host)
    before = held(host.front.pid)
    for _ in range(10):
        upgrade_front_and_settle(host)
    expect_nothing_leaked(host.front, before)


def test_session_tickets_outlive_the_release(host):
    context = client_context(host.authority.certificate, ssl.TLSVersion.TLSv1_2)

    def ask(session=None):
        with socket.create_connection(("127.0.0.1", host.https), timeout=SOON_S) as raw:
            with context.wrap_socket(raw, server_hostname=TINY, session=session) as tls:
                connection = Connection(tls)
                connection.request("GET", "/fixed", {"Host": f"{TINY}:{host.https}"})
                assert connection.read_response().status == 200
                return tls.session, tls.session_reused

    session, _ = ask()
    upgrade_front_and_settle(host)
    assert ask(session)[1], "the ticket of the old release"


def test_closed_gate_stays_closed_and_opens_at_once(host):
    page = host.tiny.maintenance_off.read_bytes()
    host.amyctl("maintenance", "on", TINY)
    with PlainLoad(host, TINY, ["/fixed"], 4, rate=200) as load:
        upgrade_front_and_settle(host)
    assert load.report.lost == 0 and set(load.report.bodies) == {(503, fnv1a(page))}, load.report
    host.tiny.maintenance_on.rename(host.tiny.maintenance_off)
    wait_for(lambda: host.get(TINY, "/fixed").status == 200, SOON_S, "the gate is open")


def test_queue_is_kept_and_slots_are_not_given_twice(host):
    """Two slots, six slow requests: at no moment do more than two run."""
    answers, most = [], []
    threads = [threading.Thread(target=lambda: answers.append(host.get(TINY, "/slow?s=1").status))
               for _ in range(6)]
    for thread in threads:
        thread.start()
    web = lambda: walk.site_parts(host.status(), TINY)["slots"]["web"]  # noqa: E731
    wait_for(lambda: web()["busy"] == 2 and web()["queued"] == 4, SOON_S, "four wait")
    upgrade_front(host)
    while any(thread.is_alive() for thread in threads):
        most.append(web()["busy"])
    for thread in threads:
        thread.join(SOON_S)
    assert answers == [200] * 6
    assert most and max(most) <= 2
    wait_for(lambda: web()["busy"] == 0, SOON_S, "all slots are free")


def test_two_in_a_row_and_a_reload_between(host):
    pid = host.front.pid
    with PlainLoad(host, TINY, PATHS, 4, rate=200) as load:
        before = host.daemon_status("front")["upgrade"]["count"]
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGHUP, signal.SIGUSR2, signal.SIGHUP):
            host.front.send(number)
        wait_for(lambda: (host.daemon_status("front") or {"upgrade": {"count": 0}})["upgrade"]["count"]
                 > before, SOON_S, "it is another program")
        wait_for(lambda: front_is_settled(host), SOON_S, "all is quiet")
    assert load.report.lost == 0 and set(load.report.by_status) == {200}, load.report
    assert host.front.pid == pid


# ---- programs that are no good

HANGS = b"#!/bin/sh\nexec sleep 1000\n"
BROKEN = {
    "exits": (b"#!/bin/sh\necho 'no such symbol' >&2; exit 1\n", 0o755, "no such symbol"),
    "not executable": (b"#!/bin/sh\nexit 0\n", 0o644, "ermission denied"),
    "another architecture": (b"\177ELF\2\1\1" + bytes(9) + struct.pack("<HHI", 2, 8, 1) + bytes(44),
                             0o755, "xec format error"),
    "killed": (b"#!/bin/sh\nkill -9 $$\n", 0o755, "signal 9"),
}


@pytest.fixture
def good_program(host):
    yield
    host.installed.install(version(host, "front").encode())


@pytest.mark.parametrize("kind", BROKEN)
def test_bad_program_is_refused_and_the_old_one_goes_on(host, good_program, kind):
    data, mode, reason = BROKEN[kind]
    before = front_pids(host)
    host.installed.break_program("amy-front", data, mode)
    done = upgrade(host, host.front, "front")
    assert reason in done["refusal"], done
    assert reason in host.amyctl("status").stdout
    assert "upgrade refused, this release goes on" in host.front.output()
    assert front_pids(host) == before and host.get(TINY, "/fixed").status == 200
    assert not zombies(host.front.pid)


@pytest.mark.long  # tests/unit/pool/test_saved.c has it with two seconds
def test_program_that_says_nothing_is_given_up(host, good_program):
    host.installed.break_program("amy-front", HANGS)
    done = upgrade(host, host.front, "front")
    assert "says nothing" in done["refusal"], done
    assert host.get(TINY, "/fixed").status == 200 and not zombies(host.front.pid)


def test_program_that_only_passes_the_trial_leaves_the_old_processes(host, good_program):
    """Its front processes never come up: those of the release before serve on."""
    whole = host.installed.bin / "amy-front.whole"
    copy_file(host.installed.bin / "amy-front", whole)
    whole.chmod(0o755)
    script = f"""#!/bin/sh
[ "$1" = --front-process ] && exit 1
exec {whole} "$@"
"""
    before = front_pids(host)
    host.installed.break_program("amy-front", script.encode())
    done = upgrade(host, host.front, "front")
    assert done["refusal"] == ""
    assert front_pids(host, "leaving") == before and host.get(TINY, "/fixed").status == 200
    host.installed.install(NEW)
    wait_for(lambda: front_is_settled(host), SOON_S, "the processes of the mended program serve")


# ---- where the new program has something else to work with


@pytest.fixture
def own(new_host, django_venv):
    """A host of its own, not started."""
    made = new_host()
    made.installed = Installed(made.root).use_for(made)
    made.tiny = deploy_tiny(made, TINY, django_venv)
    return made


@pytest.fixture
def running_own(own):
    own.start_workers()
    own.start_front()
    return own


def test_other_processes_and_addresses_of_amy_yaml(running_own):
    host, more = running_own, free_port()
    with PlainLoad(host, TINY, PATHS, 4, rate=200) as load:
        host.processes = 3
        host.write_settings(http=[f"127.0.0.1:{host.http}", f"127.0.0.1:{more}"], https=[])
        assert upgrade_front_and_settle(host)["refusal"] == ""
    assert load.report.lost == 0 and set(load.report.by_status) == {200}, load.report
    assert len(front_pids(host)) == 3
    with pytest.raises(ConnectionRefusedError):
        host.connect(TINY)
    host.http = more
    assert host.get(TINY, "/fixed", tls=False).status == 200


@pytest.mark.root
def test_full_disk_is_no_obstacle(own):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "amy-test", own.state], check=True)
    try:
        own.start_workers()
        own.start_front()
        with pytest.raises(OSError, match="No space"):
            with open(own.state / "ballast", "wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4096))
        before = workers_of(own)
        with PlainLoad(own, TINY, PATHS, 4, rate=200) as load:
            assert upgrade_front_and_settle(own)["refusal"] == ""
            assert upgrade_workers(own)["refusal"] == ""
        assert load.report.lost == 0 and set(load.report.by_status) == {200}, load.report
        assert workers_of(own) == before
    finally:
        for child in (own.front, own.workers):
            if child is not None:
                child.stop()
        own.front = own.workers = None
        subprocess.run(["umount", own.state], check=True)


def test_program_that_fails_after_the_trial_is_a_failed_start(running_own):
    """As after a crash: it ends with 1, and whoever starts it anew has all of it back."""
    host = running_own
    whole = host.installed.bin / "amy-front.whole"
    copy_file(host.installed.bin / "amy-front", whole)
    whole.chmod(0o755)
    script = f"""#!/bin/sh
case "$*" in *--check-state*) exec {whole} "$@" ;; esac
exit 1
"""
    host.installed.break_program("amy-front", script.encode())
    host.front.send(signal.SIGUSR2)
    assert host.front.wait(SOON_S) == 1
    host.installed.install(NEW)
    host.start_front()
    assert host.get(TINY, "/fixed").status == 200


def test_service_manager_is_told(own):
    """The same main process, reloading and ready again; its watchdog goes on."""
    own.start_workers()
    path = own.root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(SOON_S)

        def heard(wanted):
            while wanted not in manager.recv(4096).decode():
                pass

        own.front = own.daemon("amy-front", NOTIFY_SOCKET=str(path), WATCHDOG_USEC="1000000")
        heard("READY=1")
        own.installed.install(NEW)
        own.front.send(signal.SIGUSR2)
        for wanted in ("RELOADING=1", "READY=1", "WATCHDOG=1", "WATCHDOG=1"):
            heard(wanted)
        assert version(own, "front") == "0.1.1"


# ---- what may not hold it up


def waits_for_events(pid):
    """As a program that has begun, and said so."""
    status = Path(f"/proc/{pid}/status").read_text()
    return "Name:\tamy-front" in status and "State:\tS" in status and any(
        "eventpoll" in file for file in open_files(pid))


def test_reload_before_the_start_is_over_does_not_bar_it(own):
    """Both front processes come while the master is busy, and with them a reload: the first
    set of sites goes to one of them, the second one to both."""
    signs = own.root / "signs"
    signs.mkdir()
    signs.chmod(0o777)  # a front process makes one, too
    whole, go = own.installed.bin / "amy-front.whole", signs / "go"
    copy_file(own.installed.bin / "amy-front", whole)
    whole.chmod(0o755)
    script = f"""#!/bin/bash
PATH=/usr/bin:/bin
if [ "$1" = --front-process ]; then
    : >{signs}/held.$$
    until [ -e {go} ]; do sleep 0.02; done
fi
exec -a "$0" {whole} "$@"
"""
    own.installed.break_program("amy-front", script.encode())
    own.start_workers()
    own.start_front(ready=False)
    wait_for(lambda: len(list(signs.glob("held.*"))) == own.processes, SOON_S, "they are held up")
    own.front.send(signal.SIGSTOP)
    go.touch()
    wait_for(lambda: all(map(waits_for_events, children(own.front.pid))), SOON_S, "they have come")
    own.front.send(signal.SIGHUP)
    own.front.send(signal.SIGCONT)
    wait_for(lambda: "serving bundle=2" in own.front.output(), SOON_S, "the reload is over")
    wait_for(own.front_is_ready, SOON_S, "both serve")
    own.installed.install(NEW)
    assert upgrade(own, own.front, "front")["refusal"] == ""


CLOSED = "closed.localhost"


def test_passwords_that_are_always_being_checked_do_not_bar_it(running_own, django_venv):
    """A stranger with many addresses sees to it that the checker never rests."""
    host = running_own
    site = deploy_tiny(host, CLOSED, django_venv, TINY_YAML.replace(
        "http: serve\n", "http: serve\naccess: {{users: testers}}\n"))
    users = site.directory / "testers"
    users.write_text("anna:$2y$12$" + "a" * 53 + "\n")
    users.chmod(0o600)
    host.amyctl("reload")
    stop = threading.Event()

    def ask(first):
        for i in range(first, 60000, 16):
            if stop.is_set():
                return
            with contextlib.suppress(OSError, Broken):
                raw = socket.create_connection(("127.0.0.1", host.http), timeout=SOON_S,
                                               source_address=(f"127.1.{i >> 8}.{i & 255}", 0))
                with Connection(raw) as connection:
                    connection.request("GET", "/", {
                        "Host": CLOSED, "Connection": "close", "Authorization":
                        "Basic " + base64.b64encode(f"anna:{i}".encode()).decode()})
                    assert connection.read_response().status in {401, 503}

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(16)]
    for thread in threads:
        thread.start()
    try:
        assert upgrade_front(host)["refusal"] == ""
    finally:
        stop.set()
        for thread in threads:
            thread.join(SOON_S)


# ---- WebSockets

ECHO = "echo.localhost"
ECHO_YAML = """\
site: {domain}
user: {user}
http: serve
workers:
  - {{name: web, command: [python, echo.py], slots: 200}}
routes: [{{path: /, pool: web}}]
"""


def test_websockets_live_on_in_the_old_processes(host, django_venv):
    site = deploy_tiny(host, ECHO, django_venv, ECHO_YAML)
    copy_file(HERE / "apps" / "echo.py", site.repo / "echo.py")
    host.amyctl("reload")
    wait_for(lambda: host.get(ECHO, tls=False).status == 200, SOON_S, "the worker is found")

    async def body():
        sockets = (await websocket.open_many(host, ECHO, False, 40)
                   + await websocket.open_many(host, ECHO, True, 10))
        for word in ("once", "and once more"):
            await asyncio.to_thread(upgrade_front, host)
            assert await websocket.all_say_back(sockets, word) == len(sockets)
        assert await asyncio.to_thread(front_pids, host, "leaving")
        await asyncio.gather(*(s.close() for s in sockets))

    asyncio.run(body())
    wait_for(lambda: front_is_settled(host), SOON_S, "the old processes end with their last tunnel")


# ---- the workers

SAD_YAML = """\
site: {domain}
user: {user}
http: serve
workers:
  - {{name: sad, command: [python, -c, "exit(3)"]}}
"""


def pools(host, domain=TINY):
    return walk.site_parts(host.status(), domain)["pools"]


def workers_of(host, domain=TINY):
    """What an upgrade must not touch."""
    return [(pool["name"], pool["generation"], worker["position"], worker["pid"], worker["state"],
             worker["restarts"]) for pool in pools(host, domain) for worker in pool["workers"]]


def upgrade_workers(host):
    host.installed.install(NEW if version(host, "workers").encode() == OLD else OLD)
    return upgrade(host, host.workers, "workers")


def test_workers_are_not_touched_under_load(host):
    before, pid = workers_of(host), host.workers.pid
    assert {name for name, *_ in before} == {"web", "scheduler", "loud"}
    with PlainLoad(host, TINY, PATHS, 8, rate=300) as load:
        for _ in range(2):
            done = upgrade_workers(host)
            assert done["refusal"] == "", done
            assert workers_of(host) == before
    assert load.report.lost == 0 and set(load.report.by_status) == {200}, load.report
    assert host.workers.pid == pid and host.workers.code is None
    pids = {worker[0]: worker[3] for worker in before}
    expect_every_loud_line(host, pids["loud"])
    beats = (host.tiny.directory / "beat" / "beats").read_text().splitlines()
    assert beats[-1].split()[0] == str(pids["scheduler"]), "one scheduler, and that one beats"


def expect_every_loud_line(host, pid):
    """They are counted, and each is written in two halves."""
    log = host.tiny.logs / "gunicorn_supervisor.log"
    lines = [line.partition("] ")[2] for line in log.read_text().splitlines() if f"[loud:0 {pid}]" in line]
    assert lines == [f"line {i} is whole" for i in range(len(lines))] and len(lines) > 20


def test_pool_that_fails_goes_on_failing_where_it_was(host, django_venv):
    sad = "sad.localhost"
    deploy_tiny(host, sad, django_venv, SAD_YAML)
    host.workers.send(signal.SIGHUP)

    def worker():
        found = walk.site_parts(host.status(), sad).get("pools")
        return found and found[0]["workers"][0]

    wait_for(lambda: worker() and worker()["restarts"] >= 2, SOON_S, "it fails again and again")
    before = worker()
    done = upgrade_workers(host)
    assert done["refusal"] == ""
    assert worker()["restarts"] >= before["restarts"] and "code 3" in worker()["reason"]
    wait_for(lambda: worker()["restarts"] > before["restarts"], SOON_S, "it is tried again")
    shutil.rmtree(host.sites.pop(sad).directory)
    host.amyctl("reload")


def test_command_after_a_rotation_does_not_bar_it_and_is_begun_again(own, django_venv):
    """A site's user decides how long it takes, and how often."""
    command = "echo begun >>logs/told; until [ -e logs/go ]; do sleep 0.02; done; echo done >>logs/told"
    site = deploy_tiny(own, TINY, django_venv, TINY_YAML + f"""\
logs:
  size: 64KiB
  files: [{{{{path: app.log, command: [/bin/sh, -c, "{command}"]}}}}]
""")
    told = site.logs / "told"
    (site.logs / "app.log").write_bytes(b"a line\n" * 20000)
    os.chown(site.logs / "app.log", own.user.uid, own.user.gid)
    own.start_workers()
    wait_for(told.exists, SOON_S, "it runs")
    assert upgrade_workers(own)["refusal"] == ""
    wait_for(lambda: told.read_text() == "begun\nbegun\n", SOON_S, "it runs anew")
    (site.logs / "go").touch()
    wait_for(lambda: told.read_text() == "begun\nbegun\ndone\n", SOON_S, "to its end, once")


def test_workers_taken_over_are_supervised(host):
    upgrade_workers(host)
    victim = pools(host)[0]["workers"][0]
    assert pools(host)[0]["name"] == "web"
    os.kill(victim["pid"], signal.SIGKILL)

    def replaced():
        worker = pools(host)[0]["workers"][0]
        return worker["state"] == "ready" and worker["pid"] != victim["pid"] and worker

    assert wait_for(replaced, SOON_S, "the killed worker is replaced")["restarts"] == victim["restarts"] + 1
    assert not zombies(host.workers.pid)
    generation = pools(host)[0]["generation"]
    upgrade_workers(host)
    with PlainLoad(host, TINY, PATHS, 4, rate=200) as load:
        host.amyctl("reload", TINY)
        # Names of sockets that were published before are taken back as well.
        wait_for(lambda: is_whole(host, TINY), SOON_S, "a new generation has taken over, whole")
    assert pools(host)[0]["generation"] == generation + 1
    assert load.report.lost == 0 and set(load.report.by_status) == {200}, load.report


def test_both_at_once_while_sites_are_reloaded(host):
    with PlainLoad(host, TINY, PATHS, 4, rate=200) as load:
        before = [host.daemon_status(name)["upgrade"]["count"] for name in ("front", "workers")]
        reload = threading.Thread(target=host.amyctl, args=("reload", TINY))
        reload.start()
        for child in (host.front, host.workers):
            child.send(signal.SIGUSR2)

        def both():
            reports = [host.daemon_status(name) for name in ("front", "workers")]
            return all(report and report["upgrade"]["count"] == count + 1 and not report["upgrade"]["refusal"]
                       for report, count in zip(reports, before))

        wait_for(both, SOON_S, "both are other programs")
        reload.join(SOON_S)
        wait_for(lambda: front_is_settled(host), SOON_S, "all is quiet")
    assert load.report.lost == 0 and set(load.report.by_status) == {200}, load.report


def test_supervisor_has_lost_nothing_after_ten_times(host):
    wait_for(lambda: len(pools(host)) == len({pool["name"] for pool in pools(host)}), SOON_S,
             "one generation is left")
    upgrade_workers(host)
    before, workers = held(host.workers.pid), workers_of(host)
    for _ in range(10):
        upgrade_workers(host)
    expect_nothing_leaked(host.workers, before)
    assert workers_of(host) == workers


@pytest.mark.parametrize("kind", ["exits", "another architecture"])
def test_bad_supervisor_is_refused(host, kind):
    data, mode, reason = BROKEN[kind]
    before = workers_of(host)
    host.installed.break_program("amy-workers", data, mode)
    done = upgrade(host, host.workers, "workers")
    assert reason in done["refusal"] and reason in host.amyctl("status").stdout
    host.installed.install(version(host, "workers").encode())
    assert workers_of(host) == before
