"""A webhook is told of an alarm once, and of its end, whatever its server does;
nobody else is told its address."""

import json
import os
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backups import DOMAIN, Shop, last_event, trusting_server
from hosting.certificates import Authority
from hosting.services import free_port
from hosting.wait import wait_for
from support import command_line, processes

SOON_S = 60
SECRET = "/T0/s3cr3t-path?token=s3cr3t-too"


class Hook:
    """Answers by a script, the last entry for ever: a status, or "slow"."""

    def __init__(self, certificate, script, port=0):
        self.heard = []
        self.asked = []
        self.script = script
        self.released = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook.script.pop(0) if len(hook.script) > 1 else hook.script[0]
                hook.asked.append((self.path, self.headers["Content-Type"]))
                if status == "slow":
                    hook.released.wait(120)
                    return
                if status == 200:
                    hook.heard.append(json.loads(body))
                self.send_response(status)
                self.send_header("Location", "https://localhost:1/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "fullchain.pem", certificate / "privkey.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server.server_address[1]

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def server(session_root):
    yield from trusting_server(session_root / "pw")


@pytest.fixture
def shop(new_host, server, django_venv):
    return Shop(new_host(), server, django_venv)


@pytest.fixture
def listen(shop):
    """A function: a server for the shop's hook, with a certificate for a name."""
    authority = Authority(shop.host.root)
    made = []

    def new(script, name="localhost", port=0):
        directory = shop.host.root / f"cert{len(made)}"
        authority.issue(directory, [name])
        made.append(Hook(directory, list(script), port))
        return made[-1]

    new.ca = authority.certificate
    new.ca.chmod(0o644)
    yield new
    for one in made:
        one.close()


def begin(shop, listen, port):
    shop.write_yaml(f'{{alarm: {{webhook: "https://localhost:{port}{SECRET}"}}}}')
    shop.host.start_backup(SSL_CERT_FILE=str(listen.ca))


def fail_once(shop):
    shop.set_url(shop.url(shop.host.root / "nowhere"))
    assert shop.ask("dump")["state"] == "failed"


def expect_secret_is_kept(shop):
    texts = [shop.host.backup.output(), json.dumps(shop.host.daemon_status("backup"))]
    texts += [path.read_text() for path in shop.site.logs.iterdir()]
    for text in texts:
        assert "s3cr3t" not in text
    assert "localhost" in shop.host.backup.output()


def test_an_alarm_and_its_end_are_told_once(shop, listen):
    hook = listen([200])
    begin(shop, listen, hook.port)
    for _ in range(2):
        fail_once(shop)
    (told,) = wait_for(lambda: list(hook.heard), SOON_S, "the hook heard")
    assert set(told) == {
        "site", "stage", "host", "state", "on", "reason", "since", "last_good"}
    assert told["stage"] == "production"
    assert (told["site"], told["state"], told["on"]) == (DOMAIN, "failed", True)
    assert told["reason"] and told["last_good"] is None and told["since"].endswith("Z")
    assert hook.asked == [(SECRET, "application/json")]
    shop.set_url(shop.url())
    assert shop.ask("dump")["state"] == "done"
    wait_for(lambda: len(hook.heard) == 2, SOON_S, "the hook heard of the end")
    assert hook.heard[1]["on"] is False and hook.heard[1]["state"] == "failed"
    assert hook.heard[1]["last_good"].endswith("Z")
    expect_secret_is_kept(shop)


def restart(shop, listen, how):
    how()
    shop.host.start_backup(SSL_CERT_FILE=str(listen.ca))


def test_a_restart_tells_nothing_twice_and_no_end_too_late(shop, listen):
    hook = listen([200])
    begin(shop, listen, hook.port)
    fail_once(shop)
    wait_for(lambda: "webhook knows" in shop.host.backup.output(), SOON_S, "it is known to have heard")
    restart(shop, listen, shop.host.backup.kill)
    (alarm,) = shop.host.daemon_status("backup")["sites"][0]["backup"]["alarms"]
    assert alarm["state"] == "failed" and alarm["message"] == hook.heard[0]["reason"]
    fail_once(shop)
    shop.set_url(shop.url())
    hook.script[:] = [500]  # the end is not heard before the next restart
    assert shop.ask("dump")["state"] == "done"
    wait_for(lambda: len(hook.asked) > 1, SOON_S, "it was told")
    restart(shop, listen, shop.host.backup.stop)
    hook.script[:] = [200]
    wait_for(lambda: len(hook.heard) > 1, SOON_S, "the hook heard of the end")
    assert [(told["state"], told["on"]) for told in hook.heard] == [("failed", True), ("failed", False)]


def test_it_is_told_in_the_end(shop, listen):
    """Nobody there; an error; a redirect; a certificate of another name; good."""
    port = free_port()
    begin(shop, listen, port)
    fail_once(shop)

    def tried(words):
        return lambda: words in shop.host.backup.output()

    wait_for(tried("Couldn't connect"), SOON_S, "nobody was there")
    hook = listen([500, 302], port=port)
    wait_for(tried(f"localhost:{port} answered 500"), SOON_S, "an error was told")
    wait_for(tried(f"localhost:{port} answered 302"), SOON_S, "a redirect is none")
    hook.close()
    other = listen([200], name="other.test", port=port)
    wait_for(tried("certificate"), SOON_S, "the certificate was refused")
    assert other.asked == []
    other.close()
    good = listen([200], port=port)
    wait_for(lambda: good.heard, SOON_S, "it has heard in the end")
    assert [told["on"] for told in good.heard] == [True]
    expect_secret_is_kept(shop)


def test_a_slow_one_holds_up_nothing(shop, listen):
    hook = listen(["slow"])
    begin(shop, listen, hook.port)
    fail_once(shop)
    wait_for(lambda: hook.asked, SOON_S, "the hook was asked")
    said = " ".join(command_line(pid) for pid in processes())
    assert "--job" in said and "s3cr3t" not in said
    shop.set_url(shop.url())
    assert shop.ask("dump")["state"] == "done"
    assert hook.heard == []
    expect_secret_is_kept(shop)


def test_a_site_whose_environment_is_broken_is_told_of(shop, listen):
    """A job cannot even start; the command does without it, and both without DB_backups."""
    hook = listen([200])
    told = shop.site.directory / "alarms"
    told.mkdir()
    os.chown(told, shop.host.user.uid, shop.host.user.gid)
    shop.write_yaml("{alarm: {command: [/bin/sh, -c, 'echo \"$0 $1\" >> alarms/told'], "
                    f'webhook: "https://localhost:{hook.port}{SECRET}"}}}}')
    shop.host.start_backup(SSL_CERT_FILE=str(listen.ca))
    (shop.site.venv / "bin/postactivate").write_text("exit 3\n")
    assert shop.ask("dump")["state"] == "failed"
    wait_for(lambda: hook.heard, SOON_S, "the hook heard")
    assert "postactivate" in hook.heard[0]["reason"], hook.heard
    text = wait_for(lambda: (told / "told").exists() and (told / "told").read_text(), SOON_S, "the command ran")
    assert text.startswith("failed ") and "postactivate" in text, text


def test_nobody_but_the_scheduler_tells_it(shop, listen):
    hook = listen([200])
    begin(shop, listen, hook.port)
    status, _ = shop.host.control("backup", "POST", f"/v1/sites/{DOMAIN}/jobs",
                                  {"action": "notify", "url": f"https://localhost:{hook.port}/"})
    assert status == 400 and hook.asked == []


@pytest.mark.root
def test_without_libcurl_its_package_is_named(shop):
    (library,) = Path("/usr/lib").glob("*/libcurl.so.4")
    hidden = ["unshare", "-m", "bash", "-c", 'mount --bind /dev/null "$0" && exec "$@"',
              library.resolve()]
    spec = {"action": "notify", "site": DOMAIN, "url": f"https://localhost:1{SECRET}", "body": "{}"}
    for prefix, words in ((hidden, "install libcurl4"), ([], "localhost:1: Couldn't connect")):
        done = subprocess.run([*prefix, *shop.argv()], input=json.dumps(spec).encode(), cwd="/",
                              env=shop.environment(), capture_output=True, check=False)
        event = last_event(done.stdout)
        assert event["event"] == "failed" and words in event["message"], (event, done.stderr)
        assert "s3cr3t" not in event["message"]
