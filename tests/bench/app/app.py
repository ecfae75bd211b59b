"""The application of the benchmarks: waits as for a database, and tells its release.

The release is what the file VERSION says; "broken" is one that does not import.
"""

import time
from pathlib import Path

VERSION = (Path(__file__).parent / "VERSION").read_text()
if VERSION == "broken":
    raise ImportError("this release does not import")
SECONDS = {"/fast": 0.005, "/slow": 1.0}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    time.sleep(SECONDS.get(path, 0))
    body = VERSION.encode() if path == "/version" else b"x" * 1024
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
