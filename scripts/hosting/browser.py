"""A real browser: headless Chromium through chromedriver, by plain WebDriver
requests, so that no package besides the distribution's is needed."""

import json
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from hosting.certificates import public_key_pin
from hosting.process import Child
from hosting.users import clean_environment
from hosting.wait import wait_for

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--no-proxy-server",
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
PAGE_S = 30


def is_available():
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    """One window. Trusts the key of `certificate` besides what the system trusts."""

    def __init__(self, certificate):
        self.profile = Path(tempfile.mkdtemp(prefix="amy-browser-"))
        # Only our own port on loopback; port 0 and its announcement avoid a race.
        self.driver = Child(
            "chromedriver", [shutil.which("chromedriver"), "--port=0"],
            self.profile / "driver.log", env=clean_environment(HOME=str(self.profile)),
        )
        self.session = None
        try:
            self.base = f"http://127.0.0.1:{wait_for(self._port, PAGE_S, 'chromedriver')}"
            self._open(public_key_pin(certificate))
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _port(self):
        text = self.driver.output()
        _, found, rest = text.partition("started successfully on port ")
        return found and rest.split(".")[0].strip()

    def _open(self, pin):
        options = {
            "binary": shutil.which("chromium"),
            "args": [*ARGUMENTS, f"--user-data-dir={self.profile}/data",
                     f"--ignore-certificate-errors-spki-list={pin}"],
        }
        wanted = {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL"},
        }}
        made = self._call("POST", "/session", {"capabilities": wanted})
        self.session = f"/session/{made['sessionId']}"

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base + path, data, {"Content-Type": "application/json"}, method=method
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=PAGE_S * 2) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise RuntimeError(f"browser: {value['error']}: {value['message']}") from None

    # ---- what a person does

    def open(self, url):
        self._call("POST", self.session + "/url", {"url": url})

    def _find(self, selector):
        found = self._call("POST", self.session + "/element",
                           {"using": "css selector", "value": selector})
        return f"{self.session}/element/{found[ELEMENT]}"

    def fill(self, selector, text):
        element = self._find(selector)
        self._call("POST", element + "/clear", {})
        self._call("POST", element + "/value", {"text": text})

    def click(self, selector):
        self._call("POST", self._find(selector) + "/click", {})

    def text(self, selector="body"):
        return self._call("GET", self._find(selector) + "/text")

    def address(self):
        return self._call("GET", self.session + "/url")

    def wait_for_text(self, wanted, selector="body"):
        def shows():
            try:
                return wanted in self.text(selector)
            except RuntimeError:  # the page is being replaced
                return False
        wait_for(shows, PAGE_S, f"the page shows {wanted!r}")

    def tls_versions(self):
        """Of the answers since the last call: {"TLS 1.3"}."""
        seen = set()
        entries = self._call("POST", self.session + "/se/log", {"type": "performance"})
        for entry in entries:
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.responseReceived":
                details = event["params"]["response"].get("securityDetails")
                if details:
                    seen.add(details["protocol"])
        return seen

    def close(self):
        if self.session:
            try:
                self._call("DELETE", self.session)
            except (OSError, RuntimeError):
                pass  # its driver is ended next, and Chromium with it
        self.driver.stop(10)
        shutil.rmtree(self.profile, ignore_errors=True)
