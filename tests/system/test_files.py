"""Files as clients fetch them: ranges with curl, wget and bytes on the wire,
small files and some beyond 32 bits, plain and over TLS. promises/front.md,
"Static".
"""

import gzip
import os
import re
import socket
import ssl
import subprocess

import pytest
from hosting.wait import wait_for
from scripted import SOON_S

SITE = "files.localhost"
YAML = """\
site: {domain}
user: {user}
http: serve
routes:
  - {{path: /static/, files: static, cache: immutable}}
"""
DIGITS = b"0123456789"
LARGE = bytes(range(256)) * 4096  # 1 MiB: not held in memory
GIB = 1 << 30
SPARSE_SIZE = 5 * GIB
MARK = b"far beyond four gibibytes"
MARK_AT = 4 * GIB + 12345
OLD_S = 784111777
OLD = "Sun, 06 Nov 1994 08:49:37 GMT"
# Ids of their own: pytest would make them of all the bytes.
BOTH = pytest.mark.parametrize("name, data", [("digits.txt", DIGITS), ("large.bin", LARGE)],
                               ids=["small", "large"])
CHANNELS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


def put(path, data, mtime_s=OLD_S):
    path.write_bytes(data)
    path.chmod(0o644)
    os.utime(path, (mtime_s, mtime_s))


@pytest.fixture(scope="module")
def files(host_for_module):
    host = host_for_module
    site = host.site(SITE)
    host.static = site.directory / "static"
    host.static.mkdir()
    host.static.chmod(0o755)
    put(host.static / "digits.txt", DIGITS)
    put(host.static / "large.bin", LARGE)
    put(host.static / "empty.txt", b"")
    sparse = host.static / "sparse.bin"
    with open(sparse, "wb") as file:
        os.truncate(file.fileno(), SPARSE_SIZE)
        file.seek(MARK_AT)
        file.write(MARK)
    sparse.chmod(0o644)
    site.write_yaml(YAML.format(domain=SITE, user=host.user.name))
    host.start_front()
    return host


def get(host, name, tls=False, method="GET", **fields):
    headers = {key.replace("_", "-"): value for key, value in fields.items()}
    return host.get(SITE, f"/static/{name}", method=method, headers=headers, tls=tls)


def parts_of(response):
    """[(Content-Range, bytes)] of a multipart answer."""
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\S+)",
                            response.get("content-type")).group(1).encode()
    first, *parts, end = response.body.split(b"\r\n--" + boundary)
    assert (first, end) == (b"", b"--\r\n")
    found = []
    for part in parts:
        head, _, data = part.partition(b"\r\n\r\n")
        found.append((re.search(rb"Content-Range: (.*)", head).group(1).decode(), data))
    return found


# ---- one range


FORMS = {
    "bytes=0-0": (0, 1), "bytes=-5": (-5, None), "bytes=5-": (5, None),
    "bytes=0-99999999": (0, None), "bytes=3-7": (3, 8), "Bytes=3-7": (3, 8),
    "bytes=-99999999": (0, None), "bytes=3-7,99999999-": (3, 8),
}


@CHANNELS
@pytest.mark.parametrize("value", FORMS)
@BOTH
def test_range(files, name, data, value, tls):
    first, end = FORMS[value]
    whole = get(files, name, tls)
    response = get(files, name, tls, Range=value)
    assert response.status == 206
    assert response.body == data[first:end]
    start = first % len(data)
    last = start + len(response.body) - 1
    assert response.get("content-range") == f"bytes {start}-{last}/{len(data)}"
    assert whole.get("accept-ranges") == "bytes"
    for field in ("etag", "last-modified", "cache-control", "content-type", "accept-ranges"):
        assert response.get(field) == whole.get(field) is not None, field
    assert response.get("date")


@pytest.mark.parametrize("value", [
    "lines=0-0", "bytes=", "bytes=x", "bytes=5-4", "bytes=1-2;3", "bytes =1-2", "0-1",
    "bytes=0-5,3-9", ",".join(["bytes=0-0"] + [f"{i}-{i}" for i in range(1, 17)]),
])
@BOTH
def test_what_is_no_range_gives_the_whole(files, name, data, value):
    response = get(files, name, Range=value)
    assert (response.status, response.body) == (200, data)
    assert response.get("content-range") is None


@CHANNELS
@pytest.mark.parametrize("name, size", [("digits.txt", 10), ("large.bin", len(LARGE)),
                                        ("empty.txt", 0)])
def test_range_beyond_the_end(files, name, size, tls):
    response = get(files, name, tls, Range=f"bytes={size}-")
    assert response.status == 416
    assert response.get("content-range") == f"bytes */{size}"


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("POST", 405), ("PUT", 405)])
def test_other_methods_know_no_range(files, method, status):
    response = get(files, "digits.txt", method=method, Range="bytes=2-4")
    assert response.status == status
    assert response.get("content-range") is None
    if method == "HEAD":
        assert response.get("content-length") == "10"
        assert response.get("accept-ranges") == "bytes"


# ---- several


@CHANNELS
@BOTH
def test_several_ranges(files, name, data, tls):
    response = get(files, name, tls, Range="bytes=-2, 0-1,4-4")
    assert response.status == 206
    size = len(data)
    assert parts_of(response) == [
        (f"bytes {size - 2}-{size - 1}/{size}", data[-2:]),
        (f"bytes 0-1/{size}", data[:2]), (f"bytes 4-4/{size}", data[4:5])]
    assert response.get("content-range") is None
    assert response.get("etag") == get(files, name).get("etag")


@CHANNELS
def test_sixteen_large_ranges_and_then_another_request(files, tls):
    step = len(LARGE) // 16
    value = "bytes=" + ",".join(f"{i * step}-{(i + 1) * step - 1}" for i in range(16))
    with files.connect(SITE, tls=tls) as connection:
        connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        fields = {"Host": SITE}
        connection.request("GET", "/static/large.bin", {**fields, "Range": value})
        connection.request("GET", "/static/digits.txt", fields)
        response = connection.read_response()
        assert b"".join(data for _, data in parts_of(response)) == LARGE
        assert connection.read_response().body == DIGITS


@CHANNELS
def test_parts_larger_than_all_buffers_on_the_way(files, tls):
    data = LARGE * 12
    put(files.static / "huge.bin", data)
    value = f"bytes={len(data) // 2}-,0-{len(data) // 2 - 1}"
    with files.connect(SITE, tls=tls) as connection:
        connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        connection.request("GET", "/static/huge.bin", {"Host": SITE, "Range": value})
        connection.request("GET", "/static/digits.txt", {"Host": SITE})
        assert get(files, "digits.txt").body == DIGITS  # nobody waits for that client
        second, first = (part for _, part in parts_of(connection.read_response()))
        assert first + second == data
        assert connection.read_response().body == DIGITS


def test_client_that_closed_its_sending_side_gets_all_parts(files):
    with files.connect(SITE, tls=False) as connection:
        connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        connection.request("GET", "/static/large.bin",
                           {"Host": SITE, "Range": "bytes=0-499999,500000-"})
        connection.raw.shutdown(socket.SHUT_WR)
        assert b"".join(data for _, data in parts_of(connection.read_response())) == LARGE


# ---- conditions


def test_if_range(files):
    etag = get(files, "digits.txt").get("etag")
    assert not etag.startswith("W/")
    for value, status in {etag: 206, f"W/{etag}": 200, '"other"': 200, OLD: 206,
                          "Sun, 06 Nov 1994 08:49:38 GMT": 200, "nonsense": 200}.items():
        response = get(files, "digits.txt", Range="bytes=0-1", If_Range=value)
        assert response.status == status, value


@pytest.mark.parametrize("fields, status", [
    ({"If_None_Match": "*"}, 304), ({"If_Match": '"x"'}, 412),
    ({"If_Unmodified_Since": "Sun, 06 Nov 1994 08:49:36 GMT"}, 412),
    ({"If_Modified_Since": OLD}, 304),
    ({"If_None_Match": '"x"', "If_Modified_Since": OLD}, 206),
    ({"If_Modified_Since": "no date"}, 206),
    ({"If_Modified_Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 304),
    ({"If_Modified_Since": "Sun Nov  6 08:49:37 1994"}, 304),
])
def test_conditions_come_first(files, fields, status):
    response = get(files, "digits.txt", Range="bytes=0-0", **fields)
    assert response.status == status
    if status == 304:
        assert response.get("etag") and response.get("cache-control") and response.get("date")


# ---- clients


def curl(host, tls, *arguments, name="large.bin"):
    scheme, port = ("https", host.https) if tls else ("http", host.http)
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*",
         "--cacert", str(host.authority.certificate),
         "--resolve", f"{SITE}:{port}:127.0.0.1", *arguments,
         f"{scheme}://{SITE}:{port}/static/{name}"],
        capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@CHANNELS
def test_curl_takes_a_range(files, tls):
    assert curl(files, tls, "--range", "1000-1999") == LARGE[1000:2000]
    assert curl(files, tls, "--range", "-100") == LARGE[-100:]


@CHANNELS
def test_curl_continues(files, tls, tmp_path):
    target = tmp_path / "large.bin"
    target.write_bytes(LARGE[:654321])
    curl(files, tls, "--continue-at", "-", "--output", str(target))
    assert target.read_bytes() == LARGE


def test_short_range_of_a_large_file_leaves_in_one_record(files):
    with files.connect(SITE) as connection:
        connection.request("GET", "/static/large.bin", {"Host": SITE, "Range": "bytes=7-11"})
        record = connection.raw.recv(65536)
    assert record.endswith(b"\r\n\r\n" + LARGE[7:12])


@CHANNELS
def test_offsets_beyond_32_bits(files, tls):
    at = f"{MARK_AT}-{MARK_AT + len(MARK) - 1}"
    assert curl(files, tls, "--range", at, name="sparse.bin") == MARK
    response = get(files, "sparse.bin", tls, Range=f"bytes={SPARSE_SIZE - 3}-")
    assert response.get("content-range") == f"bytes {SPARSE_SIZE - 3}-{SPARSE_SIZE - 1}/{SPARSE_SIZE}"
    assert response.body == bytes(3)
    response = get(files, "sparse.bin", tls, Range=f"bytes=0-3,{at}")
    assert [data for _, data in parts_of(response)] == [bytes(4), MARK]
    assert get(files, "sparse.bin", tls, method="HEAD").get("content-length") == str(SPARSE_SIZE)


# ---- what lies compressed beside a file


CSS = b"body { color: black }\n" * 2000  # not held in memory
BESIDE = {"br": b"br" * 10000, "zstd": b"zstd" * 10, "gzip": gzip.compress(CSS)}
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}


@pytest.fixture(scope="module")
def packed(files):
    put(files.static / "app.css", CSS)
    for coding, data in BESIDE.items():
        put(files.static / f"app.css{SUFFIXES[coding]}", data)
    return files


@CHANNELS
@pytest.mark.parametrize("accept, coding", [
    ("gzip, deflate, br, zstd", "br"), ("gzip, deflate, zstd", "zstd"), ("gzip", "gzip"),
    ("br;q=0, gzip", "gzip"), ("gzip;q=1, br;q=0.5", "gzip"), ("*", "br"), ("deflate", None),
    ("identity", None), ("", None), (None, None), ("identity;q=0, deflate", None),
])
def test_variant(packed, accept, coding, tls):
    fields = {} if accept is None else {"Accept_Encoding": accept}
    response = get(packed, "app.css", tls, **fields)
    assert response.status == 200
    assert response.get("content-encoding") == coding
    assert response.body == (BESIDE[coding] if coding else CSS)
    assert response.get("vary") == "Accept-Encoding"
    assert response.get("content-type") == "text/css; charset=utf-8"
    again = get(packed, "app.css", tls, **fields, If_None_Match=response.get("etag"))
    assert (again.status, again.get("vary")) == (304, "Accept-Encoding")
    head = get(packed, "app.css", tls, method="HEAD", **fields)
    for field in ("etag", "content-length", "content-encoding", "vary"):
        assert head.get(field) == response.get(field)


def test_each_variant_has_an_etag_of_its_own(packed):
    assert len({get(packed, "app.css", Accept_Encoding=coding).get("etag")
                for coding in ("br", "zstd", "gzip", "identity")}) == 4


def test_range_of_a_variant(packed):
    response = get(packed, "app.css", Accept_Encoding="br", Range="bytes=19998-")
    assert (response.status, response.body) == (206, b"br")
    assert response.get("content-range") == "bytes 19998-19999/20000"
    assert response.get("content-encoding") == "br"


def test_curl_unpacks_it(files):
    put(files.static / "real.css", CSS)
    put(files.static / "real.css.gz", gzip.compress(CSS))
    assert curl(files, True, "--compressed", name="real.css") == CSS


def test_file_that_nothing_lies_beside_does_not_vary(files):
    assert get(files, "digits.txt", Accept_Encoding="gzip").get("vary") is None


def test_older_one_is_never_served(files):
    put(files.static / "old.css", CSS)
    put(files.static / "old.css.gz", gzip.compress(b"of yesterday"), OLD_S - 1)
    response = get(files, "old.css", Accept_Encoding="gzip")
    assert (response.body, response.get("content-encoding")) == (CSS, None)
    # Compressed again, as whitenoise does it: with the time of the original, through a float.
    put(files.static / "old.css.gz", gzip.compress(CSS), OLD_S)
    wait_for(lambda: get(files, "old.css", Accept_Encoding="gzip").get("content-encoding") == "gzip",
             SOON_S, "the new one is seen")
    put(files.static / "new", b"changed in place", OLD_S + 1)
    os.rename(files.static / "new", files.static / "old.css")
    wait_for(lambda: get(files, "old.css", Accept_Encoding="gzip").body == b"changed in place",
             SOON_S, "the change is seen")


def test_only_regular_files_beneath_the_root_count(files):
    put(files.static / "a.css", CSS)
    outside = files.static.parent / "outside"
    put(outside, b"secret")
    (files.static / "a.css.gz").symlink_to("../outside")
    os.mkfifo(files.static / "a.css.br")
    (files.static / "a.css.zst").mkdir()
    (files.static / "link.txt").symlink_to("../outside")
    response = get(files, "a.css", Accept_Encoding="gzip, br, zstd")
    assert (response.body, response.get("vary")) == (CSS, None)
    assert get(files, "link.txt").status == 404


# ---- what is no file, or nobody's


def test_only_regular_files_that_do_not_hide(files):
    static = files.static
    os.mkfifo(static / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        at = os.open(static, os.O_PATH)
        bound.bind(f"/proc/self/fd/{at}/socket")
        os.close(at)
    for name in ("dir", ".git", ".well-known", "dir/.well-known", ".well-knownish"):
        (static / name).mkdir()
        put(static / name / "x", b"x")
    put(static / ".hidden", b"x")
    put(static / "dir/index.html", b"the index")
    for name, status in {
        "fifo": 404, "socket": 404, "dir": 404, "dir/": 200, "dir/x": 200, ".git/x": 404,
        ".hidden": 404, "%2ehidden": 404, "dir/../.hidden": 404, ".well-known/x": 200,
        "dir/.well-known/x": 200, ".well-knownish/x": 404, ".well-known": 404, "..": 404,
        ".": 404, "dir/%2e%2e/.git/x": 404, "dir%2fx": 404, "/proc/self/environ": 404,
    }.items():
        response = get(files, name)
        assert response.status == status, name
    assert get(files, "dir/").body == b"the index"
    assert get(files, "dir/").get("content-type") == "text/html; charset=utf-8"


# ---- a file that changes


@CHANNELS
@pytest.mark.parametrize("fields", [{}, {"Range": "bytes=0-500000,500001-"}],
                         ids=["whole", "parts"])
def test_file_that_shrinks_cuts_the_connection(files, tls, fields):
    name = f"shrinking-{tls}-{len(fields)}.bin"
    size = 64 << 20  # more than all buffers on the way hold
    put(files.static / name, b"")
    os.truncate(files.static / name, size)
    with files.connect(SITE, tls=tls) as connection:
        connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        connection.request("GET", f"/static/{name}", {"Host": SITE, **fields})
        received = len(connection.read_some_until(b"\r\n\r\n"))
        os.truncate(files.static / name, 4 << 20)
        try:
            while data := connection.raw.recv(1 << 20):
                received += len(data)
        except (ConnectionResetError, ssl.SSLError):
            pass  # cut; only a connection that stays open is wrong
        assert received < size
    assert get(files, "digits.txt").body == DIGITS


def test_changed_file_is_another(files):
    put(files.static / "changing.txt", b"one")
    first = get(files, "changing.txt")
    put(files.static / "new", b"two", OLD_S + 1)
    os.rename(files.static / "new", files.static / "changing.txt")

    def is_seen():
        """By the process that is asked: each has a second of its own."""
        response = get(files, "changing.txt", Range="bytes=1-", If_Range=first.get("etag"))
        assert (response.status, response.body) in {(206, b"ne"), (200, b"two")}
        return response.status == 200

    wait_for(is_seen, SOON_S, "the new file is seen")
