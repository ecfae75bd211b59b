"""Is anything kept of what was done many times?"""

import gc
import os
import tracemalloc
from pathlib import Path

TRACED = 200


def resident_kib():
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE") // 1024


def expect_flat(work, times, most_kib=512):
    """Neither the library's memory, nor Python objects, nor descriptors. What the
    allocators and caches need at first is had by then."""
    for _ in range(times // 10):
        work()
    before, files = resident_kib(), len(os.listdir("/proc/self/fd"))
    for _ in range(times):
        work()
    assert resident_kib() - before < most_kib, f"grew by {resident_kib() - before} KiB"
    assert len(os.listdir("/proc/self/fd")) == files
    expect_no_objects(work)


def expect_no_objects(work):
    """One small object each time would be seen: 48 bytes are the least."""
    tracemalloc.start()
    try:
        for _ in range(20):
            work()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(TRACED):
            work()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        assert grown < 24 * TRACED, f"{grown} bytes of Python objects are kept"
    finally:
        tracemalloc.stop()
