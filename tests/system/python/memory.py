"""Is anything kept of what was done many times?"""

import os
from pathlib import Path


def resident_kib():
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE") // 1024


def expect_flat(work, times, most_kib=512):
    """Neither memory nor descriptors; what the allocators need at first is had by then."""
    for _ in range(times // 10):
        work()
    before, files = resident_kib(), len(os.listdir("/proc/self/fd"))
    for _ in range(times):
        work()
    assert resident_kib() - before < most_kib, f"grew by {resident_kib() - before} KiB"
    assert len(os.listdir("/proc/self/fd")) == files
