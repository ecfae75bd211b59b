"""Waiting for a condition, with a deadline that only fails."""

import time

PAUSE_S = 0.02


class Late(AssertionError):
    """The condition did not come true in time."""


def wait_for(condition, deadline_s, what="the condition"):
    """Look until condition() is true and return what it gave.

    An exception of OSError (a socket that is not there yet) counts as "not
    yet"; the last one is named when time is up.
    """
    end = time.monotonic() + deadline_s
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = None
        except OSError as error:
            last = error
        if time.monotonic() >= end:
            reason = f" (last: {last!r})" if last else ""
            raise Late(f"{what}: not within {deadline_s} s{reason}")
        time.sleep(PAUSE_S)
