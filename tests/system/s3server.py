"""An S3 server for tests: it checks signatures as AWS defines them (Signature
Version 4) and rejects what AWS rejects. Objects and parts are files, so that a
gigabyte takes no memory. What goes wrong is said by `fail`."""

import base64
import hashlib
import hmac
import itertools
import re
import ssl
import threading
import urllib.parse
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

MIB = 1024 * 1024
PART_MIN = 5 * MIB
SKEW = timedelta(minutes=15)
PIECE = 256 * 1024
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})")


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def base64_of(digits):
    return base64.b64encode(bytes.fromhex(digits)).decode()


def hmac_of(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Refused(Exception):
    def __init__(self, status, code, more=""):
        super().__init__(code)
        self.status = status
        self.body = (f"<Error><Code>{code}</Code><Message>the server says &quot;no&quot;</Message>"
                     f"{more}</Error>").encode()


class S3:
    """One bucket. `keys`: access key to (secret, session token or None)."""

    def __init__(self, directory, certificate, keys=None, region="eu-test-1", bucket="backups"):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.keys = {"S3KEY": ("s3cr3t-Key/+", None)} if keys is None else keys
        self.expired = set()
        self.region = region
        self.bucket = bucket
        self.ahead = timedelta()  # its clock before ours
        self.page = 1000  # entries of a list
        self.locked = False  # objects are: nothing is taken without a checksum
        self.marks = True  # where the next page begins
        self.padding = "x" * 100  # of an upload's id
        self.objects = {}  # key to (file, meta, when)
        self.uploads = {}  # id to {key, meta, when, parts}
        self.asked = []  # (method, key, query, status)
        self.faults = []
        self.unsorted = False  # as directory buckets are
        self.released = threading.Event()
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        server = self

        class Handler(Request):
            s3 = server

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "fullchain.pem", certificate / "privkey.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def now(self):
        return datetime.now(timezone.utc) + self.ahead

    def new_file(self):
        return self.directory / f"f{next(self.numbers)}"

    def names(self):
        return sorted(self.objects)

    def put(self, key, data, age=timedelta(), **meta):
        """As somebody else did, a while ago."""
        file = self.new_file()
        file.write_bytes(data)
        self.objects[key] = (file, {"sha256": hashlib.sha256(data).hexdigest()} | meta,
                             self.now() - age)

    def begin(self, key, age=timedelta()):
        """An upload of somebody else's."""
        number = f"{next(self.numbers):08}+/{self.padding}=="  # needs escaping
        self.uploads[number] = {"key": key, "meta": {}, "when": self.now() - age, "parts": {},
                                "sums": False}
        return number

    # ---- what goes wrong

    def fail(self, how, method="PUT", times=1, match=lambda key, query: True):
        """how: (status, code), or "cut": half of the body is read; "slow": no
        answer before `released`; "mute": it is done, and nobody is told; (200,
        code): an error that looks like none; or a function, called instead."""
        self.faults.append({"how": how, "method": method, "times": times, "match": match})

    def fault_of(self, method, key, query):
        with self.lock:
            for fault in self.faults:
                if fault["times"] > 0 and fault["method"] == method and fault["match"](key, query):
                    fault["times"] -= 1
                    return fault["how"]
        return None


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    s3 = None

    def log_message(self, *_):
        pass

    # ---- who asks, and whether it is signed

    def place(self):
        """Bucket and key, from the path or from the host."""
        path = urllib.parse.unquote(self.path.partition("?")[0])
        host = self.headers["Host"].partition(":")[0]
        if host.endswith(".localhost"):
            return host.removesuffix(".localhost"), path[1:]
        bucket, _, key = path[1:].partition("/")
        return bucket, key

    def query(self):
        text = self.path.partition("?")[2]
        pairs = [piece.partition("=") for piece in text.split("&") if piece]
        return [(urllib.parse.unquote(name), urllib.parse.unquote(value))
                for name, _, value in pairs]

    def check_time(self, day):
        text = self.headers.get("x-amz-date", "")
        try:
            when = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        except ValueError:
            raise Refused(403, "AccessDenied") from None
        if abs(when - self.s3.now()) > SKEW:
            server = self.s3.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            raise Refused(403, "RequestTimeTooSkewed", f"<ServerTime>{server}</ServerTime>")
        if text[:8] != day:
            raise Refused(400, "AuthorizationHeaderMalformed")

    def check_signature(self):
        found = AUTHORIZATION.fullmatch(self.headers.get("Authorization", ""))
        if not found:
            raise Refused(403, "AccessDenied")
        name, day, region, signed, signature = found.groups()
        self.check_time(day)
        if region != self.s3.region:
            raise Refused(400, "AuthorizationHeaderMalformed", f"<Region>{self.s3.region}</Region>")
        if name not in self.s3.keys:
            raise Refused(403, "InvalidAccessKeyId")
        secret, token = self.s3.keys[name]
        if self.headers.get("x-amz-security-token") != token:
            raise Refused(400, "InvalidToken")
        if name in self.s3.expired:
            raise Refused(400, "ExpiredToken")
        signed_names = signed.split(";")
        must = {"host"} | {field.lower() for field in self.headers
                           if field.lower().startswith("x-amz-")}
        present = {field.lower() for field in self.headers}
        if signed_names != sorted(signed_names) or not must <= set(signed_names) <= present:
            raise Refused(403, "AccessDenied")
        path = "/".join(quote(urllib.parse.unquote(part))
                        for part in self.path.partition("?")[0].split("/"))
        query = "&".join(sorted(f"{quote(name)}={quote(value)}" for name, value in self.query()))
        fields = "".join(f"{field}:{' '.join((self.headers.get(field) or '').split())}\n"
                         for field in signed_names)
        request = "\n".join([self.command, path, query, fields, signed, self.payload_hash()])
        scope = f"{day}/{region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", self.headers["x-amz-date"], scope,
                          hashlib.sha256(request.encode()).hexdigest()])
        key = ("AWS4" + secret).encode()
        for part in (day, region, "s3", "aws4_request"):
            key = hmac_of(key, part)
        if not hmac.compare_digest(hmac_of(key, text).hex(), signature):
            raise Refused(403, "SignatureDoesNotMatch")

    def payload_hash(self):
        given = self.headers.get("x-amz-content-sha256", "")
        if not re.fullmatch("[0-9a-f]{64}", given):
            raise Refused(400, "MissingSecurityHeader")
        return given

    # ---- bodies

    def read_body(self, upto=None):
        """Into a file, and its hashes."""
        file = self.s3.new_file()
        left = int(self.headers.get("Content-Length") or 0)
        left = left if upto is None else min(left, upto)
        sha256, md5 = hashlib.sha256(), hashlib.md5()
        with open(file, "wb") as out:
            while left > 0:
                piece = self.rfile.read(min(PIECE, left))
                if not piece:
                    raise ConnectionError("the body was cut")
                left -= len(piece)
                sha256.update(piece)
                md5.update(piece)
                out.write(piece)
        return file, sha256.hexdigest(), md5.hexdigest()

    def answer(self, status, body=b"", fields=None):
        self.s3.asked.append((self.command, self.place()[1], dict(self.query()), status))
        self.send_response(status)
        for name, value in (fields or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (fields or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # ---- one request

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (OSError, ssl.SSLError):  # whoever asked was killed
            self.close_connection = True

    def serve(self):
        bucket, key = self.place()
        query = dict(self.query())
        fault = self.s3.fault_of(self.command, key, query)
        if fault == "cut":
            self.read_body(upto=int(self.headers.get("Content-Length") or 0) // 2)
            self.close_connection = True
            return
        file, sha256, md5 = self.read_body()
        if callable(fault):
            fault = fault()
        if fault == "slow":
            self.s3.released.wait(120)
            self.close_connection = True
            return
        try:
            if isinstance(fault, tuple):
                raise Refused(*fault)
            if self.command in ("POST", "PUT") and "Content-Length" not in self.headers:
                raise Refused(411, "MissingContentLength")
            self.check_signature()
            if sha256 != self.payload_hash():
                raise Refused(400, "XAmzContentSHA256Mismatch")
            if self.command == "PUT":
                self.check_checksum(sha256)
            if bucket != self.s3.bucket:
                raise Refused(404, "NoSuchBucket")
            with self.s3.lock:
                reply = self.act(key, query, file, md5)
        except Refused as refused:
            reply = (refused.status, b"" if self.command == "HEAD" else refused.body)
        if fault == "mute":
            self.close_connection = True
            return
        self.answer(*reply)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

    def check_checksum(self, sha256):
        given = self.headers.get("x-amz-checksum-sha256")
        if given is None and self.s3.locked:
            raise Refused(400, "InvalidRequest")
        if given is not None and given != base64_of(sha256):
            raise Refused(400, "BadDigest")

    def act(self, key, query, file, md5):
        if self.command == "POST" and "uploads" in query:
            return self.begin_upload(key)
        if "uploadId" in query:
            return self.act_on_upload(query, file, md5)
        if self.command == "PUT":
            self.s3.objects[key] = (file, self.meta(), self.s3.now())
            return 200, b"", {"ETag": f'"{md5}"'}
        if self.command == "DELETE":
            self.s3.objects.pop(key, None)
            return 204,
        if key:
            return self.give(key)
        return self.list_uploads(query) if "uploads" in query else self.list_objects(query)

    def meta(self):
        return {name.lower().removeprefix("x-amz-meta-"): value
                for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}

    def give(self, key):
        if key not in self.s3.objects:
            raise Refused(404, "NoSuchKey")
        file, meta, _ = self.s3.objects[key]
        size = file.stat().st_size
        fields = {f"x-amz-meta-{name}": value for name, value in meta.items()}
        if self.command == "HEAD":
            return 200, b"", fields | {"Content-Length": str(size)}
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not found:
            return 200, file.read_bytes(), fields
        first, last = int(found[1]), min(int(found[2]), size - 1)
        if first >= size:
            raise Refused(416, "InvalidRange")
        with open(file, "rb") as stream:
            stream.seek(first)
            data = stream.read(last - first + 1)
        return 206, data, fields | {"Content-Range": f"bytes {first}-{last}/{size}"}

    # ---- uploads in parts

    def begin_upload(self, key):
        algorithm = self.headers.get("x-amz-checksum-algorithm")
        if self.s3.locked and algorithm != "SHA256":
            raise Refused(400, "InvalidRequest")
        number = self.s3.begin(key)
        self.s3.uploads[number] |= {"meta": self.meta(), "sums": algorithm == "SHA256"}
        return 200, (f"<?xml version='1.0'?>\n<InitiateMultipartUploadResult xmlns='http://s3'>"
                     f"<UploadId>{escape(number)}</UploadId></InitiateMultipartUploadResult>").encode()

    def act_on_upload(self, query, file, md5):
        upload = self.s3.uploads.get(query["uploadId"])
        if upload is None:
            raise Refused(404, "NoSuchUpload")
        if self.command == "DELETE":
            del self.s3.uploads[query["uploadId"]]
            return 204,
        if self.command == "PUT":
            if not 1 <= int(query["partNumber"]) <= 10000:
                raise Refused(400, "InvalidArgument")
            upload["parts"][int(query["partNumber"])] = (f'"{md5}"', file)
            return 200, b"", {"ETag": f'"{md5}"'}
        return self.complete(query["uploadId"], upload, file.read_text())

    def complete(self, number, upload, text):
        found = re.findall(r"<PartNumber>(\d+)</PartNumber><ETag>(.*?)</ETag>"
                           r"(?:<ChecksumSHA256>(.*?)</ChecksumSHA256>)?", text)
        parts = [(int(part), etag.replace("&quot;", '"')) for part, etag, _ in found]
        if not parts or [part for part, _ in parts] != sorted({part for part, _ in parts}):
            raise Refused(400, "InvalidPartOrder")
        if any(upload["parts"].get(part, ("",))[0] != etag for part, etag in parts):
            raise Refused(400, "InvalidPart")
        files = [upload["parts"][part][1] for part, _ in parts]
        if upload["sums"] and [given for _, _, given in found] != [
                base64_of(hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]:
            raise Refused(400, "InvalidPart")
        if any(file.stat().st_size < PART_MIN for file in files[:-1]):
            raise Refused(400, "EntityTooSmall")
        whole = self.s3.new_file()
        with open(whole, "wb") as out:
            for file in files:
                with open(file, "rb") as part:
                    while piece := part.read(PIECE):
                        out.write(piece)
                file.unlink()
        self.s3.objects[upload["key"]] = (whole, upload["meta"], self.s3.now())
        del self.s3.uploads[number]
        return 200, b"<CompleteMultipartUploadResult/>"

    # ---- lists

    def page_of(self, entries, after):
        rest = [entry for entry in sorted(entries) if after is None or entry > after]
        return rest[:self.s3.page], len(rest) > self.s3.page

    def list_objects(self, query):
        if query.get("list-type") != "2":
            raise Refused(501, "NotImplemented")
        keys = [key for key in self.s3.objects if key.startswith(query["prefix"])]
        after = query.get("continuation-token")
        page, more = self.page_of(keys, after and after.removeprefix("+/="))
        if self.s3.unsorted:
            page.sort(key=lambda key: key.rpartition("/")[2])
        text = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{stamp(self.s3.objects[key][2])}"
            f"</LastModified><Size>{self.s3.objects[key][0].stat().st_size}</Size>"
            "<Owner><ID>x</ID></Owner></Contents>" for key in page)
        if more and self.s3.marks:
            text += f"<NextContinuationToken>+/={max(page)}</NextContinuationToken>"
        return 200, (f"<ListBucketResult><Name>backups</Name><IsTruncated>{str(more).lower()}"
                     f"</IsTruncated>{text}</ListBucketResult>").encode()

    def list_uploads(self, query):
        entries = [(upload["key"], number) for number, upload in self.s3.uploads.items()
                   if upload["key"].startswith(query["prefix"])]
        after = "key-marker" in query and (query["key-marker"], query["upload-id-marker"]) or None
        page, more = self.page_of(entries, after)
        text = "".join(
            f"<Upload><Key>{escape(key)}</Key><UploadId>{escape(number)}</UploadId>"
            f"<Initiated>{stamp(self.s3.uploads[number]['when'])}</Initiated></Upload>"
            for key, number in page)
        if more:
            text += (f"<NextKeyMarker>{escape(page[-1][0])}</NextKeyMarker>"
                     f"<NextUploadIdMarker>{escape(page[-1][1])}</NextUploadIdMarker>")
        return 200, (f"<ListMultipartUploadsResult><IsTruncated>{str(more).lower()}</IsTruncated>"
                     f"{text}</ListMultipartUploadsResult>").encode()


def stamp(when):
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03}Z"
