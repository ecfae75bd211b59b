"""libamy for Python programs.

    amy.gate      the maintenance gate of a site: is it closed, close it, open it
    amy.status    what the running daemons say of themselves and of each site
    amy.backup    a site's backups: list, make, verify, restore
    amy.redis     a Redis client with one deadline a call
    amy.control   one request to a daemon; what the modules above are made of
    amy.contrib.django   `manage.py maintenance`, a health view, system checks

Whatever goes wrong in the library is an `amy.Error` with a code that says what
the caller can do, and a message in words.

Blocking calls let other threads run (they release the GIL). Those of gate, status and
control hear signals; one of redis ends by its deadline first. An object may be used by one thread at a time, and not at all in a child after
fork(): it raises Code.ESTATE there, and leaves the parent's alone.
"""

from amy.errors import Code, Error, Fate, Source

__all__ = ["Code", "Error", "Fate", "Source", "__version__"]


def __getattr__(name: str) -> str:
    """`__version__` is that of the libamy that is loaded, e.g. "0.1.0".

    It is loaded when something of it is wanted, and not by `import amy`: a worker
    that only has amy.contrib.django among its applications goes without.
    """
    if name == "__version__":
        from amy import _native

        return _native.VERSION
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
