"""A pool's command that says a lot: counted lines, each in two writes, so that
somebody may take the pipe over in the middle of one."""

import itertools
import os
import time

for number in itertools.count():
    os.write(1, b"line %d " % number)
    time.sleep(0.002)
    os.write(1, b"is whole\n")
    time.sleep(0.003)
