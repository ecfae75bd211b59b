"""A pool's command that is no server: writes a line with its pid every tenth of
a second to the file named by BEAT_FILE. Told to stop, it goes on for BEAT_DRAIN
seconds first, as a scheduler does that finishes what it has begun."""

import os
import signal
import time

end = None


def finish(*_):
    global end
    end = time.monotonic() + float(os.environ.get("BEAT_DRAIN", "0"))


signal.signal(signal.SIGTERM, finish)
with open(os.environ["BEAT_FILE"], "a", buffering=1) as file:
    while end is None or time.monotonic() < end:
        file.write(f"{os.getpid()} {time.monotonic():.3f}\n")
        time.sleep(0.1)
