"""logs: stdout, for containers: everything to standard output as JSON lines, and a
reader that stops reading holds nobody up."""

import fcntl
import json
import os
import re
import signal
import subprocess
import threading

import pytest
from hosting.host import binaries
from hosting.users import clean_environment
from hosting.wait import wait_for
from support import TINY, TINY_YAML, deploy_tiny

SOON_S = 60


class Piped:
    """A daemon whose standard output is a pipe, read by us, or not."""

    def __init__(self, host, name, both=False):
        self.lines, self.reading = [], threading.Event()
        self.reading.set()
        with open(host.root / f"{name}.log", "ab") as errors:
            self.process = subprocess.Popen(
                [binaries() / name, *host.options()], stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if both else errors, stdin=subprocess.DEVNULL,
                env=clean_environment(), start_new_session=True)
        self.pid = self.process.pid
        threading.Thread(target=self.read, daemon=True).start()

    @property
    def code(self):
        return self.process.poll()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            self.reading.wait()

    def told(self):
        return [json.loads(line) for line in list(self.lines)]

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        self.reading.set()
        self.send(number)
        assert self.process.wait(SOON_S) == 0


@pytest.fixture
def piped(new_host, django_venv):
    tiny = new_host()
    tiny.tiny = deploy_tiny(tiny, TINY, django_venv,
                            TINY_YAML + "database: {{from: DATABASE_URL}}\n",
                            DATABASE_URL="postgres://nobody@127.0.0.1:1/none")
    tiny.write_settings(logs="stdout")
    tiny.workers = Piped(tiny, "amy-workers")
    wait_for(tiny.workers_are_ready, SOON_S, "the workers are ready")
    tiny.front = Piped(tiny, "amy-front")
    wait_for(tiny.front_is_ready, SOON_S, "amy-front answers")
    return tiny


def targets(lines):
    return [line["target"] for line in lines if line["component"] == "access"]


def messages(daemon, component):
    return [line["message"] for line in daemon.told() if line["component"] == component]


def test_own_lines_of_the_daemons_are_json_too(piped):
    """From the moment that the configuration is known; other users' processes, too."""
    (piped.tiny.directory / "maintenance_on.html").write_text("")
    wait_for(lambda: any("'maintenance_on.html' is empty" in text
                         for text in messages(piped.front, "amy-front")), SOON_S, "a warning")
    line = next(line for line in piped.front.told() if "is empty" in line["message"])
    assert line["level"] == "warn" and "site" not in line
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert "is empty" not in (piped.root / "amy-front.log").read_text()
    assert piped.get(TINY, "/" + "x" * 9000, tls=False).status == 414
    wait_for(lambda: any("status=414" in text
                         for text in messages(piped.front, "amy-front-process")), SOON_S,
             "of a process that is another user's")
    os.kill(piped.daemon_status("workers")["sites"][0]["pools"][0]["workers"][0]["pid"],
            signal.SIGKILL)
    wait_for(lambda: messages(piped.workers, "amy-workers"), SOON_S, "of another daemon")


def test_all_is_told_as_json_and_no_file_is_written(piped):
    assert piped.get(TINY, "/?seen=1", tls=False).status == 200
    assert piped.get(TINY, "/" + "x" * 6000, tls=False).status == 414
    lines = wait_for(lambda: len(targets(piped.front.told())) == 2 and piped.front.told(), SOON_S,
                     "both requests are told")
    # Two front processes: each has an order of its own.
    seen, long = sorted((line for line in lines if line["component"] == "access"),
                        key=lambda line: len(line["target"]))
    assert seen["target"] == "/?seen=1" and seen["status"] == 200 and seen["site"] == TINY
    assert "cut" not in seen and long["cut"] is True and long["status"] == 414
    assert max(len(line) for line in piped.front.lines) <= 4096
    workers = [line for line in piped.workers.told() if line["component"] == "workers"]
    assert any("Booting worker" in line["message"] and line["pool"] == "web" for line in workers)
    piped.backup = Piped(piped, "amy-backup")
    wait_for(lambda: piped.daemon_status("backup"), SOON_S, "amy-backup answers")
    piped.amyctl("backup", "now", TINY, check=False)
    backup, = wait_for(lambda: [line for line in piped.backup.told() if line["component"] == "backup"],
                       SOON_S, "the backup's end is told")
    assert backup["site"] == TINY
    assert backup["message"].startswith("no backup: ")
    assert not piped.tiny.logs.exists() or list(piped.tiny.logs.iterdir()) == []


def test_reload_and_a_killed_process_change_nothing(piped):
    for daemon in (piped.front, piped.workers):
        daemon.send(signal.SIGUSR1)
        daemon.send(signal.SIGHUP)
    for process in piped.daemon_status("front")["processes"]:
        os.kill(process["pid"], signal.SIGKILL)

    def told():
        # Whoever was killed while it served gives no answer.
        assert piped.get(TINY, "/?after", tls=False).status == 200
        return "/?after" in targets(piped.front.told())

    wait_for(lambda: piped.front_is_ready() and told(), SOON_S, "lines of new processes")
    assert not piped.tiny.logs.exists() or list(piped.tiny.logs.iterdir()) == []


def ask_more_than_is_read(piped):
    """Long lines that no pipe has room for, while nobody reads; how many."""
    room = fcntl.fcntl(piped.front.process.stdout, fcntl.F_GETPIPE_SZ)
    piped.front.reading.clear()
    long = "y" * 3500
    asked = room // len(long) + 400
    with piped.connect(TINY, tls=False) as connection:
        for number in range(asked):
            connection.request("GET", f"/?n={number}-{long}", {"Host": TINY})
            assert connection.read_response().status == 200
    return asked


def test_one_reader_of_both_streams_that_stops_holds_nobody_up(piped):
    """Then standard error, where the daemons say that lines are lost, is as full."""
    piped.front.stop()
    piped.front = Piped(piped, "amy-front", both=True)
    wait_for(piped.front_is_ready, SOON_S, "amy-front answers")
    ask_more_than_is_read(piped)
    assert piped.get(TINY, "/?again", tls=False).status == 200
    assert piped.front_is_ready()


def test_reader_that_stops_holds_nobody_up_and_loses_counted_lines(piped):
    asked = ask_more_than_is_read(piped)
    piped.front.reading.set()
    piped.get(TINY, "/?again", tls=False)
    wait_for(lambda: "/?again" in targets(piped.front.told()), SOON_S, "lines are told again")

    def told():
        return [target for target in targets(piped.front.told()) if target.startswith("/?n=")]

    def own():
        """Also on standard error, what the other did not take."""
        return "\n".join([(piped.root / "amy-front.log").read_text(),
                          *messages(piped.front, "amy-front-process")])

    def counted():
        return sum(map(int, re.findall(r"a log is written again .* lost=(\d+)", own())))

    assert "a log takes no lines" in own()
    wait_for(lambda: len(told()) + counted() == asked, SOON_S, "each is told, or counted as lost")
    assert 0 < len(told()) < asked and len(set(told())) == len(told())
