"""Copies of backups in S3, by a server that rejects what AWS rejects; and
everything that is bad for them."""

import hashlib
import json
import os
import re
import shutil
import signal
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backups import DOMAIN, Shop, check_restorable, expect_failed, last_event
from hosting.certificates import Authority
from hosting.host import binaries
from hosting.wait import wait_for
from s3server import MIB, S3
from support import command_line, status_of_process

SOON_S = 60
LONG_S = 600  # a gigabyte, with others at work
MEMORY_KIB = 64 * 1024
PATIENCE_MS = 20000  # a busy machine is no failure
SHORT_MS = 3000  # where a job has to give up
SECRET = "s3cr3t-Key/+"
KEYS = {"AWS_ACCESS_KEY_ID": "S3KEY", "AWS_SECRET_ACCESS_KEY": SECRET}
DATA = "data.dump.zst"


@pytest.fixture(scope="module")
def module_shop(host_for_module, postgres, django_venv):
    return Shop(host_for_module, postgres, django_venv)


@pytest.fixture(scope="module")
def certificate(module_shop):
    authority = Authority(module_shop.host.root)
    authority.certificate.chmod(0o644)
    directory = module_shop.host.root / "s3-certificate"
    authority.issue(directory, ["localhost", "backups.localhost"])
    return directory


class Bucket:
    """A server of a test's own, and jobs for a copy in its bucket."""

    def __init__(self, shop, certificate):
        self.shop = shop
        self.server = S3(shop.host.root / "s3", certificate)
        self.environment = shop.environment(**KEYS)
        self.place = {"name": "s3", "s3": "backups/shop", "region": "eu-test-1",
                      "endpoint": self.server.url, "ca_file": str(shop.host.root / "ca.pem"),
                      "credentials": "environment", "profile": "default", "count": 5}

    def spec(self, **more):
        return {"copy": self.place | more.pop("place", {}), "silence_ms": PATIENCE_MS,
                "copies": [{"name": "s3", "count": 5}], **more}

    def run(self, action="copy", **more):
        return self.shop.run(action, environment=self.environment, **self.spec(**more))

    def start(self, **more):
        return self.shop.start("copy", environment=self.environment, **self.spec(**more))

    def copied(self, **more):
        event = self.run(**more)
        assert event["event"] == "done", event
        return event["copied"]

    def known(self):
        (copy,) = self.run("list")["copies"]
        return {entry["name"]: entry["proven"] is not None for entry in copy["sets"]}

    def expect_sound(self, *names):
        """What has a manifest there is whole; and nothing is left over."""
        objects = self.server.objects
        complete = {key.split("/")[1] for key in objects if key.endswith("manifest.json")}
        assert complete == set(names)
        assert self.server.uploads == {}
        for name in complete:
            manifest = json.loads(objects[f"shop/{name}/manifest.json"][0].read_text())
            for file in manifest["files"]:
                data = objects[f"shop/{name}/{file['name']}"][0].read_bytes()
                assert len(data) == file["bytes"]
                assert hashlib.sha256(data).hexdigest() == file["sha256"]
        assert len(objects) == 3 * len(complete), self.server.names()


@pytest.fixture(scope="module")
def template(module_shop):
    module_shop.make_template()
    return module_shop.template


@pytest.fixture
def shop(module_shop, template):
    module_shop.lose_sets()
    return module_shop


@pytest.fixture
def bucket(shop, certificate):
    made = Bucket(shop, certificate)
    yield made
    made.server.close()
    shutil.rmtree(made.server.directory, ignore_errors=True)  # a thread may still write


def make_large(path, size):
    """Data of any size for a set: to be copied, not restored."""
    manifest = json.loads((path / "manifest.json").read_text())
    digest = hashlib.sha256()
    with open(path / DATA, "wb") as out:
        for _ in range(size // MIB):
            piece = os.urandom(MIB)
            digest.update(piece)
            out.write(piece)
    for file in manifest["files"]:
        if file["name"] == DATA:
            file |= {"bytes": size, "sha256": digest.hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def large_template(template):
    path = template.parent / "large"
    shutil.copytree(template, path)
    make_large(path, 17 * MIB)
    return path


@pytest.fixture
def large(shop, large_template):
    """A set whose data goes in three parts."""
    return shop.new_set(large_template)


def is_part(key, query):
    return "partNumber" in query


# ---- the good days


def test_sets_go_there_are_read_back_thinned_and_brought_home(shop, bucket):
    names = [shop.new_set() for _ in range(3)]
    bucket.server.page = 2  # every list has several pages
    assert bucket.copied() == names[::-1]
    bucket.expect_sound(*names)
    assert bucket.known() == dict.fromkeys(names, True)
    assert bucket.copied() == []
    event = bucket.run(place={"count": 2})
    assert event["removed"] == names[:1]
    bucket.expect_sound(*names[1:])
    shop.lose_sets()
    assert bucket.run("fetch")["set"]["name"] == names[2]
    check_restorable(shop.sets / names[2])
    assert bucket.run("verify-copy", set=names[1])["event"] == "done"


def test_a_large_one_goes_in_parts_that_are_hashed_one_by_one(shop, bucket, large):
    assert bucket.copied() == [large]
    bucket.expect_sound(large)
    parts = [query["partNumber"] for method, _, query, status in bucket.server.asked
             if method == "PUT" and "partNumber" in query and status == 200]
    assert parts == ["1", "2", "3"]


def test_a_bucket_whose_objects_are_locked_takes_them(shop, bucket, large):
    bucket.server.locked = True
    small = shop.new_set()
    assert bucket.copied() == [small, large]
    bucket.expect_sound(large, small)


def test_the_id_of_an_upload_may_be_as_long_as_it_likes(bucket, large):
    bucket.server.padding = "+" * 1000
    assert bucket.copied() == [large]
    bucket.expect_sound(large)


def test_the_bucket_may_be_in_the_hosts_name(shop, bucket):
    name = shop.new_set()
    assert bucket.copied(place={"style": "host"}) == [name]
    bucket.expect_sound(name)


def test_a_prefix_may_be_left_out(shop, bucket):
    name = shop.new_set()
    assert bucket.copied(place={"s3": "backups"}) == [name]
    assert f"{name}/manifest.json" in bucket.server.names()


def test_no_secret_is_in_an_argument_an_event_or_a_file(shop, bucket, large):
    bucket.server.fail("slow", match=is_part)
    child = bucket.start(silence_ms=60000)
    wait_for(lambda: bucket.server.faults[0]["times"] == 0, SOON_S, "a part on its way")
    assert SECRET not in str(command_line(child.pid))
    bucket.server.released.set()
    output = child.communicate(timeout=60)[0]
    assert last_event(output)["event"] == "done"
    assert SECRET.encode() not in output
    files = [path for path in shop.sets.rglob("*") if path.is_file() and path.name != DATA]
    files += list(shop.site.logs.iterdir())
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path


# ---- keys


def test_keys_come_from_the_file_that_the_tools_share(shop, bucket):
    file = shop.host.root / "credentials"
    file.write_text("[default]\naws_access_key_id = no\naws_secret_access_key = no\n\n"
                    f"[backup]\naws_access_key_id=S3KEY\naws_secret_access_key={SECRET}\n")
    file.chmod(0o644)
    bucket.environment = shop.environment(AWS_SHARED_CREDENTIALS_FILE=str(file))
    name = shop.new_set()
    wanted = {"credentials": "file", "profile": "backup"}
    assert bucket.copied(place=wanted) == [name]
    expect_failed(bucket.run(place=wanted | {"profile": "other"}), "no profile 'other'")
    expect_failed(bucket.run(), "copy 's3'", "AWS_ACCESS_KEY_ID")


class Imds:
    """The metadata service of a machine, version 2: keys by a role, that end."""

    def __init__(self, bucket):
        self.made = 0
        self.lifetime = timedelta(hours=6)
        imds = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def reply(self, text, status=200):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_PUT(self):
                good = (self.path == "/latest/api/token"
                        and self.headers["X-aws-ec2-metadata-token-ttl-seconds"])
                self.reply("imds-token" if good else "", 200 if good else 400)

            def do_GET(self):
                roles = "/latest/meta-data/iam/security-credentials/"
                if self.headers["X-aws-ec2-metadata-token"] != "imds-token":
                    self.reply("", 401)
                elif self.path == roles:
                    self.reply("backup-role\n")
                elif self.path == roles + "backup-role":
                    self.reply(imds.new_keys(bucket.server))
                else:
                    self.reply("", 404)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        bucket.server.keys = {}
        bucket.environment = bucket.shop.environment(
            AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://127.0.0.1:{self.server.server_port}/")
        bucket.place |= {"credentials": "imds"}

    def new_keys(self, s3):
        self.made += 1
        key, token = f"ASIA{self.made}", f"token{self.made}+/="
        s3.keys[key] = (SECRET, token)
        ends = (s3.now() + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        return json.dumps({"Code": "Success", "AccessKeyId": key, "SecretAccessKey": SECRET,
                           "Token": token, "Expiration": ends})


@pytest.fixture
def imds(bucket):
    made = Imds(bucket)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_keys_of_a_role_are_changed_when_they_expire_in_the_middle(bucket, imds, large):
    def expire():
        bucket.server.expired.add("ASIA1")

    bucket.server.fail(expire, match=lambda _, query: query.get("partNumber") == "2")
    assert bucket.copied() == [large]
    assert imds.made == 2
    bucket.expect_sound(large)


def test_keys_of_a_role_are_changed_once_they_are_over(shop, bucket, imds):
    imds.lifetime = -timedelta(minutes=1)
    name = shop.new_set()
    assert bucket.copied() == [name]
    assert imds.made > 5  # before each request


def test_new_keys_are_not_asked_for_before_each_request(shop, bucket, imds):
    """Though these end within minutes: the service may have no others yet."""
    imds.lifetime = timedelta(minutes=4)
    name = shop.new_set()
    assert bucket.copied() == [name]
    assert imds.made < 5


def test_keys_that_are_over_and_cannot_be_changed_are_told(shop, bucket):
    bucket.server.expired.add("S3KEY")
    shop.new_set()
    expect_failed(bucket.run(), "copy 's3'", "ExpiredToken")
    assert bucket.known() == {}


# ---- a server that is not well


@pytest.mark.parametrize("how", [(503, "SlowDown"), (500, "InternalError"), "cut", "mute",
                                 (400, "RequestTimeout")], ids=str)
def test_a_part_that_fails_is_sent_again_alone(bucket, large, how):
    bucket.server.fail(how, match=lambda _, query: query.get("partNumber") == "2")
    assert bucket.copied() == [large]
    bucket.expect_sound(large)
    parts = [query["partNumber"] for method, _, query, status in bucket.server.asked
             if method == "PUT" and "partNumber" in query and status == 200]
    assert parts.count("1") == parts.count("3") == 1


def test_an_upload_that_is_refused_is_aborted(shop, bucket, large):
    bucket.server.fail((403, "AccessDenied"), times=9,
                       match=lambda _, query: query.get("partNumber") == "3")
    event = expect_failed(bucket.run(), "copy 's3'", "403 AccessDenied")
    assert event["copied"] == []
    bucket.expect_sound()
    assert bucket.known() == {}


def test_a_server_that_says_nothing_is_given_up(shop, bucket):
    shop.new_set()
    bucket.server.fail("slow", times=99)
    expect_failed(bucket.run(silence_ms=SHORT_MS), "copy 's3'", "localhost")
    assert bucket.server.faults[0]["times"] < 99  # it was the bytes that nobody took
    assert bucket.known() == {}


def test_a_server_that_is_gone_is_given_up_and_what_it_has_left_is_swept(bucket, large):
    bucket.server.fail("cut", times=99, match=lambda _, query: query.get("partNumber") == "2")
    expect_failed(bucket.run(silence_ms=SHORT_MS), "copy 's3'")
    assert bucket.server.faults[0]["times"] < 99
    assert len(bucket.server.uploads) == 1  # nobody could be asked
    bucket.server.faults.clear()
    assert bucket.copied() == [large]
    bucket.expect_sound(large)


@pytest.mark.parametrize("code", ["InternalError", "AccessDenied"])
def test_an_end_that_looks_well_and_is_none_is_none(bucket, large, code):
    bucket.server.fail((200, code), method="POST", times=1 if code == "InternalError" else 99,
                       match=lambda _, query: "uploadId" in query)
    event = bucket.run()
    if code == "InternalError":
        assert event["copied"] == [large]
        bucket.expect_sound(large)
    else:
        expect_failed(event, "copy 's3'", "200 AccessDenied")
        bucket.expect_sound()
        assert bucket.known() == {}


def test_an_end_whose_answer_is_lost_is_found_to_be_one(bucket, large):
    bucket.server.fail("mute", method="POST", match=lambda _, query: "uploadId" in query)
    assert bucket.copied() == [large]
    bucket.expect_sound(large)


def test_what_is_not_there_as_it_was_sent_is_not_copied(shop, bucket):
    """The server takes it, answers well, and has other bytes."""
    name = shop.new_set()

    def spoil():
        file, meta, when = bucket.server.objects[f"shop/{name}/{DATA}"]
        data = bytearray(file.read_bytes())
        data[5] ^= 1
        file.write_bytes(data)

    bucket.server.fail(spoil, match=lambda key, _: key.endswith("manifest.json"))
    expect_failed(bucket.run(), "copy 's3'", "hash differs")
    assert bucket.known() == {name: False}
    assert bucket.copied() == [name]
    bucket.expect_sound(name)


def test_a_clock_that_is_wrong_is_told_by_how_much(shop, bucket):
    shop.new_set()
    bucket.server.ahead = timedelta(hours=2, minutes=5)
    event = expect_failed(bucket.run(), "copy 's3'", "this host's clock is wrong", "behind")
    assert re.search(r"it is 2h(4m5\ds|5m)", event["message"]), event
    bucket.server.ahead = -timedelta(hours=1)
    expect_failed(bucket.run(), "this host's clock is wrong", "ahead of")


def test_another_region_a_wrong_secret_and_no_bucket_are_told(shop, bucket):
    shop.new_set()
    expect_failed(bucket.run(place={"region": "us-east-1"}), "AuthorizationHeaderMalformed")
    expect_failed(bucket.run(place={"s3": "nowhere"}), "404 NoSuchBucket")
    bucket.environment = shop.environment(**KEYS | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    event = expect_failed(bucket.run(), "403 SignatureDoesNotMatch", "it said: the server says")
    assert "wrong" not in event["message"]


def test_a_list_that_does_not_say_how_it_goes_on_is_none(shop, bucket):
    for _ in range(3):
        shop.new_set()
    bucket.copied()
    bucket.server.page = 2

    def lose_marks():
        bucket.server.marks = False

    bucket.server.fail(lose_marks, method="GET", match=lambda _, query: "continuation-token" in query)
    shop.new_set()
    expect_failed(bucket.run(), "copy 's3'", "goes on nowhere")


def test_a_certificate_that_is_not_trusted_is_refused(shop, bucket):
    shop.new_set()
    expect_failed(bucket.run(place={"ca_file": ""}), "copy 's3'", "localhost")
    assert bucket.server.asked == []


def test_a_set_that_is_damaged_here_is_not_copied(shop, bucket, large):
    path = shop.sets / large / DATA
    with open(path, "r+b") as file:
        file.seek(10 * MIB)
        file.write(b"other bytes")
    expect_failed(bucket.run(), "hash differs")
    bucket.expect_sound()


# ---- leftovers


def test_leftovers_of_ours_go_at_once_and_strangers_after_a_day(shop, bucket):
    name = shop.new_set()
    s3 = bucket.server
    s3.page = 2
    hour, days = timedelta(hours=1), timedelta(days=2)
    fresh = s3.begin(f"shop/20200101T000000Z/{DATA}", hour)
    s3.begin(f"shop/20200102T000000Z/{DATA}", days)
    s3.begin(f"shop/20200103T000000Z/{DATA}", days)
    other = s3.begin("shop/letters/to-mother", days)
    s3.put(f"shop/20200104T000000Z/{DATA}", b"of nobody", days)
    s3.put(f"shop/20200105T000000Z/{DATA}", b"on its way", hour)
    s3.put("shop/letter", b"mine", days)
    assert bucket.copied() == [name]
    assert set(s3.uploads) == {fresh, other}
    kept = {key for key in s3.names() if name not in key}
    assert kept == {f"shop/20200105T000000Z/{DATA}", "shop/letter"}


def test_an_object_that_is_gone_or_cut_is_sent_again(shop, bucket):
    names = [shop.new_set(), shop.new_set()]
    bucket.copied()
    s3 = bucket.server
    del s3.objects[f"shop/{names[0]}/{DATA}"]
    s3.put(f"shop/{names[1]}/{DATA}", b"cut")
    assert sorted(bucket.copied()) == names
    bucket.expect_sound(*names)


def test_another_sites_set_of_that_name_is_not_overwritten(shop, bucket):
    name = shop.new_set()
    bucket.copied()
    s3 = bucket.server
    file, meta, when = s3.objects[f"shop/{name}/manifest.json"]
    text = file.read_bytes().replace(b'"site": "', b'"site": "not-').replace(b'"site":"', b'"site":"not-')
    s3.put(f"shop/{name}/manifest.json", text)
    s3.put(f"shop/{name}/{DATA}", b"theirs")
    shutil.rmtree(shop.sets / ".copies")
    expect_failed(bucket.run(), "somebody else's")
    assert s3.objects[f"shop/{name}/{DATA}"][0].read_bytes() == b"theirs"


def test_a_list_may_come_in_any_order(shop, bucket):
    names = [shop.new_set(), shop.new_set()]
    assert sorted(bucket.copied()) == names
    s3 = bucket.server
    s3.unsorted = True
    for key, (file, meta, when) in s3.objects.items():
        s3.objects[key] = (file, meta, when - timedelta(days=2))
    assert bucket.copied() == []
    bucket.expect_sound(*names)


def kill_at(bucket, large, number):
    """Killed while that part is on its way."""
    seen = threading.Event()

    def stall():
        seen.set()
        return "slow"

    bucket.server.fail(stall, match=lambda _, query: query.get("partNumber") == str(number))
    child = bucket.start(silence_ms=60000)
    assert seen.wait(LONG_S)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    assert bucket.known().get(large) is not True


def memory_of_a_copy(bucket, large):
    """At its most, when all of it was sent and nearly all read back."""
    seen = threading.Event()

    def stall():
        seen.set()
        return "slow"

    bucket.server.fail(stall, method="GET", match=lambda key, _: key.endswith("roles.sql"))
    child = bucket.start(silence_ms=60000)
    assert seen.wait(LONG_S)
    peak = int(status_of_process(child.pid)["VmHWM"].split()[0])
    bucket.server.released.set()
    event = last_event(child.communicate(timeout=LONG_S)[0])
    assert event["copied"] == [large], event
    return peak


def expect_killed_and_made_good(bucket, large, parts):
    for number in parts:
        kill_at(bucket, large, number)
        assert len(bucket.server.uploads) == 1
    bucket.server.faults.clear()
    peak = memory_of_a_copy(bucket, large)
    assert peak < MEMORY_KIB or "asan" in str(binaries())
    assert bucket.server.uploads == {}
    assert bucket.known() == {large: True}


def test_killed_at_any_part_it_leaves_nothing_after_the_next_start(bucket, large):
    expect_killed_and_made_good(bucket, large, (1, 2, 3))
    bucket.expect_sound(large)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_gigabyte_killed_at_every_tenth_of_it(shop, bucket):
    name = shop.new_set()
    make_large(shop.sets / name, 1024 * MIB)
    expect_killed_and_made_good(bucket, name, range(1, 128, 13))


# ---- by the daemon


def test_the_daemon_copies_to_s3_whatever_ends_it(shop, bucket, large):
    """With the site's own keys; killed in the middle, the next one begins."""
    shop.site.write_postactivate({"DATABASE_URL": shop.current_url, **KEYS})
    place = bucket.place
    shop.write_yaml("{copies: [{name: s3, s3: backups/shop, region: eu-test-1, endpoint: '%s', "
                    "ca_file: %s}]}" % (place["endpoint"], place["ca_file"]))
    host = shop.host
    bucket.server.fail("slow", match=lambda _, query: query.get("partNumber") == "2")
    host.start_backup()
    try:
        wait_for(lambda: bucket.server.faults[0]["times"] == 0, SOON_S, "a part on its way")
        host.backup.kill()
        assert len(bucket.server.uploads) == 1
        host.start_backup()
        wait_for(lambda: host.daemon_status("backup")["sites"][0]["backup"]["copies"][0]["sets"],
                 SOON_S, "a set in the bucket")
        bucket.expect_sound(large)
        assert SECRET not in host.backup.output()
    finally:
        host.stop()
