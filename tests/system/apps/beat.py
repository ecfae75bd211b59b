"""A pool's command that is no server: writes a line with its pid every tenth of
a second to the file named by BEAT_FILE, until it is told to stop."""

import os
import signal
import sys
import time

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with open(os.environ["BEAT_FILE"], "a", buffering=1) as file:
    while True:
        file.write(f"{os.getpid()} {time.monotonic():.3f}\n")
        time.sleep(0.1)
