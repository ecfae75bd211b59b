"""A WSGI application that starts in no time, for tests that are not about Django.

/           "tiny" and the process id
/pid        the process id alone
/fixed      always the same bytes
/slow?s=1   answers after so many seconds
/stream?n=3&s=1  n lines, s seconds apart
/size?n=10  n bytes
/status?c=500  that status with a body of the application's own
/echo       the request's length and digest
/accel?to=/private/x  X-Accel-Redirect to that
/environ    what the server made of the request, as JSON
/healthz    200

Every answer tells in X-Release which code gave it: the directory that it lies in.
"""

import hashlib
import json
import os
import time
from urllib.parse import parse_qs

RELEASE = os.path.basename(os.path.dirname(os.path.realpath(__file__)))
FIXED = b"the application's answer\n" * 8


def application(environ, start_response):
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    path = environ["PATH_INFO"]
    status, kind, more = "200 OK", "text/plain", []
    if path == "/stream":
        start_response(status, [("Content-Type", kind)])
        return stream(int(query.get("n", 3)), float(query.get("s", 1)))
    if path == "/slow":
        time.sleep(float(query.get("s", 1)))
        body = b"slept\n"
    elif path == "/size":
        body = b"x" * int(query.get("n", 10))
    elif path == "/status":
        status = f"{int(query.get('c', 500))} Chosen"
        body = b"the application's own words\n"
    elif path == "/echo":
        body = echo(environ["wsgi.input"])
    elif path == "/accel":
        more = [("X-Accel-Redirect", query["to"])]
        body = b"instead of the file\n"
    elif path == "/environ":
        kind = "application/json"
        known = {name: value for name, value in environ.items() if isinstance(value, str)}
        body = json.dumps(known).encode()
    elif path == "/pid":
        body = b"%d\n" % os.getpid()
    elif path in {"/fixed", "/healthz"}:
        body = FIXED
    elif path == "/":
        body = b"tiny %d\n" % os.getpid()
    else:
        status, body = "404 Not Found", b"nothing here\n"
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))),
                            ("X-Release", RELEASE), *more])
    return [body]


def stream(lines, gap_s):
    for index in range(lines):
        if index:
            time.sleep(gap_s)
        yield b"line %d\n" % index


def echo(body):
    digest, size = hashlib.sha256(), 0
    while piece := body.read(65536):
        digest.update(piece)
        size += len(piece)
    return f"{size} {digest.hexdigest()}\n".encode()
