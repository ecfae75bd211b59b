"""One program that we started: its output, its end. Ended by its own pid."""

import signal
import subprocess

from hosting.users import as_user, clean_environment


class Child:
    """A running program. Its output is appended to `log`.

    It leads a session of its own, so that Ctrl-C reaches only us and everything
    is stopped in our order; should we be killed, it gets `death_signal`.
    """

    def __init__(self, name, argv, log, user=None, env=None, cwd="/", death_signal="TERM"):
        self.name = name
        self.log = log
        with open(log, "ab") as output:
            self._offset = output.tell()
            self.process = subprocess.Popen(
                as_user(user, argv, death_signal),
                env=clean_environment() if env is None else env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self):
        return self.process.pid

    @property
    def code(self):
        """None while it runs; below zero: minus the signal that ended it."""
        return self.process.poll()

    def output(self):
        """What it has printed since it was started."""
        with open(self.log, "rb") as file:
            file.seek(self._offset)
            return file.read().decode("utf-8", "replace")

    def send(self, number):
        if self.code is None:
            self.process.send_signal(number)

    def wait(self, deadline_s):
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} (pid {self.pid}) still runs after {deadline_s} s:\n"
                + self.output()[-2000:]
            ) from None

    def kill(self):
        """As `kill -9` does."""
        self.send(signal.SIGKILL)
        return self.wait(10)

    def stop(self, patience_s=60, number=signal.SIGTERM):
        """Ask, wait, and only then kill; returns the exit code."""
        self.send(number)
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise AssertionError(
                f"{self.name} (pid {self.pid}) did not stop within {patience_s} s"
            ) from None
