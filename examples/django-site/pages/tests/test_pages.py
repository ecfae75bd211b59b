"""The pages by Django's own test client, with a real PostgreSQL and Redis."""

import hashlib
import re
import tempfile
from pathlib import Path
from unittest import mock

import django_rq
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import TestCase, override_settings
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import SimpleWorker

from pages.jobs import count_primes
from pages.models import Entry

PLAIN_STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}


@override_settings(STORAGES=PLAIN_STORAGES, ALLOWED_HOSTS=["testserver"])
class PageTest(TestCase):
    def test_entry_is_kept_and_shown(self):
        answer = self.client.post("/", {"name": "Ada", "message": "<b>hello</b>"})
        self.assertRedirects(answer, "/")
        self.assertEqual(Entry.objects.get().name, "Ada")
        self.assertContains(self.client.get("/"), "&lt;b&gt;hello&lt;/b&gt;")

    def test_empty_entry_is_refused(self):
        answer = self.client.post("/", {"name": "", "message": "x"})
        self.assertContains(answer, "This field is required")
        self.assertEqual(Entry.objects.count(), 0)

    def test_upload_shows_size_and_digest(self):
        data = bytes(range(256)) * 4096
        digest = hashlib.sha256(data).hexdigest()
        with tempfile.TemporaryDirectory() as root, self.settings(MEDIA_ROOT=Path(root)):
            file = SimpleUploadedFile("ä b.bin", data)
            answer = self.client.post("/upload/", {"file": file})
            self.assertContains(answer, f"{len(data)} bytes")
            self.assertContains(answer, digest)
            self.assertEqual((Path(root) / digest).read_bytes(), data)
        link = re.search(r'id="download" href="([^"]+)"', answer.content.decode())[1]
        answer = self.client.get(link)
        self.assertEqual(answer["X-Accel-Redirect"], f"/private/{digest}")
        self.assertIn("filename*=utf-8''%C3%A4%20b.bin", answer["Content-Disposition"])
        self.assertEqual(self.client.get(link[:-3] + "xx/").status_code, 404)

    def test_stream_is_not_one_piece(self):
        answer = self.client.get("/stream/lines?lines=3&gap_ms=0")
        self.assertTrue(answer.streaming)
        self.assertEqual(len(list(answer.streaming_content)), 3)

    def test_slow_says_how_long(self):
        self.assertContains(self.client.get("/slow/?s=0"), "Slept 0.0 s.")
        self.assertNotContains(self.client.get("/slow/?s=301"), "Slept")

    def test_request_shows_what_arrived(self):
        answer = self.client.put("/request/", b"abc", "text/plain")
        self.assertEqual(answer.json()["body_bytes"], 3)
        self.assertEqual(answer.json()["method"], "PUT")

    @override_settings(RELEASE="17")
    def test_release_is_shown_to_people_and_programs(self):
        answer = self.client.get("/slow/")
        self.assertContains(answer, '<span id="release">17</span>')
        self.assertEqual(answer["X-Release"], "17")
        self.assertEqual(self.client.get("/healthz")["X-Release"], "17")

    @override_settings(RELEASE="")
    def test_release_without_a_name_is_not_shown(self):
        answer = self.client.get("/slow/")
        self.assertNotContains(answer, "Release")
        self.assertNotIn("X-Release", answer)

    def test_job_runs(self):
        queue = django_rq.get_queue("default")
        queue.empty()
        page = self.client.post("/jobs/", {"limit": "100"})
        self.assertEqual(page.status_code, 302)
        state_url = page["Location"].rstrip("/") + ".json"
        self.assertFalse(self.client.get(state_url).json()["done"])
        SimpleWorker([queue], connection=queue.connection).work(burst=True)
        self.assertEqual(self.client.get(state_url).json()["result"], 25)
        self.assertContains(self.client.get(page["Location"]), "finished")

    def test_unknown_job_is_404(self):
        url = "/jobs/00000000-0000-0000-0000-000000000000.json"
        self.assertEqual(self.client.get(url).status_code, 404)


@override_settings(ALLOWED_HOSTS=["example.org"])
class HealthTest(TestCase):
    def test_healthy_under_any_host(self):
        answer = self.client.get("/healthz", headers={"host": "10.0.0.7"})
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(
            answer.json(), {"healthy": True, "database": "ok", "redis": "ok"}
        )

    def test_redis_down_is_503_and_says_which(self):
        refused = mock.Mock(side_effect=RedisConnectionError())
        with mock.patch.dict("pages.health.CHECKS", redis=refused):
            answer = self.client.get("/healthz")
        self.assertEqual(answer.status_code, 503)
        self.assertEqual(answer.json()["database"], "ok")
        self.assertEqual(answer.json()["redis"], "ConnectionError")


class CountPrimesTest(TestCase):
    def test_small_limits(self):
        self.assertEqual(
            [count_primes(n) for n in (0, 2, 3, 4, 10, 1000)], [0, 0, 1, 2, 4, 168]
        )
