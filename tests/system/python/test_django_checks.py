"""System checks: a site that fits has nothing to say, and each misfit says one
thing and what to write instead."""

import os
import re
from types import SimpleNamespace

import django
import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings
from hosting.site import TOP

if not settings.configured:
    settings.configure(INSTALLED_APPS=[], DATABASES={}, SILENCED_SYSTEM_CHECKS=[])
    django.setup()

import amy.contrib.django  # noqa: E402
from amy.contrib.django import checks, conf  # noqa: E402
from docstrings import public_things, undocumented  # noqa: E402

YAML = """\
site: example.org
aliases: [www.example.org]
user: amy-example
http: {mode: redirect}
workers:
  - {name: web, wsgi: config.wsgi:application, count: 3, slots: 4}
  - {name: rq, command: [python, manage.py, rqworker]}
limits: {body: 20MiB}
logs:
  files: [{path: django.log}]
"""
PROTO = ("HTTP_X_FORWARDED_PROTO", "https")
DATABASE = {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}


@pytest.fixture
def site(tmp_path):
    """A site's directory, and settings that fit it."""
    directory = tmp_path / "example.org"
    (directory / "repo").mkdir(parents=True)
    (directory / "logs").mkdir()
    made = SimpleNamespace(directory=directory, yaml=directory / "site.yaml", settings={
        "AMY": {}, "BASE_DIR": directory / "repo", "DEBUG": False,
        "ALLOWED_HOSTS": [".example.org"], "SECURE_PROXY_SSL_HEADER": PROTO,
        "INSTALLED_APPS": ["django.contrib.staticfiles", "django.contrib.sessions"],
        "MIDDLEWARE": ["django.middleware.csrf.CsrfViewMiddleware"],
        "SESSION_COOKIE_SECURE": True, "CSRF_COOKIE_SECURE": True,
        "STATIC_URL": "/static/", "STATIC_ROOT": directory / "static",
        "DATABASES": {"default": {**DATABASE, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}},
        "LOGGING": {},
    })
    made.yaml.write_text(YAML)
    return made


def found(site, yaml=None, deploy=False, **changed):
    """What the checks say of the site with other settings, or another site.yaml."""
    if yaml is not None:
        site.yaml.write_text(yaml)
        conf._load.cache_clear()
    with override_settings(**{**site.settings, **changed}):
        return run_checks(tags=["amy"], include_deployment_checks=deploy)


def ids(messages):
    return sorted(message.id for message in messages)  # the registry is a set


def handler(kind, file="django.log"):
    return {"handlers": {"file": {"class": f"logging.{kind}", "filename": f"LOGS/{file}"}}}


def test_what_fits_is_not_mentioned(site):
    assert found(site) == found(site, deploy=True) == []


pytestmark = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")

MISFITS = [
    ("amy.E001", {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_SSL", "1")}, {},
     "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')"),
    ("amy.E002", {"SECURE_PROXY_SSL_HEADER": None, "SECURE_SSL_REDIRECT": True}, {},
     "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')"),
    ("amy.W003", {"SECURE_PROXY_SSL_HEADER": ()}, {},
     "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')"),
    ("amy.W003", {"SECURE_PROXY_SSL_HEADER": None}, {},
     "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')"),
    ("amy.W003", {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "on")}, {},
     "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')"),
    ("amy.W004", {"SECURE_SSL_REDIRECT": True}, {"{mode: redirect}": "{except: [/healthz]}"},
     "SECURE_SSL_REDIRECT = False"),
    ("amy.W004", {"SECURE_SSL_REDIRECT": True}, {"{mode: redirect}": "{peers: [10.0.0.0/8]}"},
     "SECURE_SSL_REDIRECT = False"),
    ("amy.W004", {"SECURE_SSL_REDIRECT": True}, {"{mode: redirect}": "serve"},
     "SECURE_SSL_REDIRECT = False"),
    ("amy.W005", {"SESSION_COOKIE_SECURE": False}, {},
     "SESSION_COOKIE_SECURE = True"),
    ("amy.W005", {"CSRF_COOKIE_SECURE": False}, {},
     "CSRF_COOKIE_SECURE = True"),
    ("amy.E006", {"ALLOWED_HOSTS": ["www.example.org"]}, {},
     "ALLOWED_HOSTS = ['example.org', 'www.example.org']"),
    ("amy.E006", {"ALLOWED_HOSTS": []}, {},
     "ALLOWED_HOSTS = ['example.org', 'www.example.org']"),
    ("amy.W018", {"ALLOWED_HOSTS": ["example.org"]}, {},
     "ALLOWED_HOSTS = ['example.org', 'www.example.org']"),
    ("amy.W007", {"USE_X_FORWARDED_HOST": True}, {},
     "USE_X_FORWARDED_HOST = False"),
    ("amy.W008", {"CSRF_TRUSTED_ORIGINS": ["https://a.org", "http://www.example.org:80"]}, {},
     "Leave it out"),
    ("amy.W009", {"DATA_UPLOAD_MAX_MEMORY_SIZE": 20 * 2**20 + 1}, {},
     "limits: {body: 21MiB}"),
    ("amy.W009", {"DATA_UPLOAD_MAX_MEMORY_SIZE": 1000_001}, {"20MiB": "1MB"},
     "limits: {body: 1MiB}"),
    ("amy.W010", {"STATIC_URL": "assets/"}, {},
     "routes: [{path: /assets/, files: static}]"),
    ("amy.W010", {}, {"limits:": "routes: [{path: /static, pool: web}]\nlimits:"},
     "routes: [{path: /static/, files: static}]"),
    ("amy.W011", {"STATIC_ROOT": "/srv/elsewhere"}, {},
     "routes: [{path: /static/, files: static}]"),
    ("amy.W011", {}, {"limits:": "routes: [{path: /static/, files: repo/static}]\nlimits:"},
     "routes: [{path: /static/, files: static}]"),
    ("amy.W012", {"LOGGING": handler("handlers.RotatingFileHandler")}, {},
     "logs: {files: [{path: django.log}]}"),
    ("amy.W012", {"LOGGING": handler("handlers.TimedRotatingFileHandler", "x.log")}, {},
     "logs: {files: [{path: x.log}]}"),
    ("amy.W013", {"LOGGING": handler("handlers.WatchedFileHandler", "x.log")}, {},
     "logs: {files: [{path: x.log}]}"),
    ("amy.W014", {"LOGGING": handler("FileHandler")}, {},
     "'class': 'logging.handlers.WatchedFileHandler'"),
    ("amy.E015", {"DEBUG": True}, {},
     "DEBUG = False"),
    ("amy.W016", {"DATABASES": {"default": {**DATABASE, "CONN_MAX_AGE": None}}}, {},
     "'CONN_HEALTH_CHECKS': True"),
]


@pytest.mark.parametrize(("wanted", "changed", "yaml", "hint"), MISFITS)
def test_a_misfit_is_told_once_with_what_to_write(site, wanted, changed, yaml, hint):
    changed = dict(changed)
    if "LOGGING" in changed:
        one = dict(changed["LOGGING"]["handlers"]["file"])
        one["filename"] = one["filename"].replace("LOGS", str(site.directory / "logs"))
        changed["LOGGING"] = {"handlers": {"file": one}}
    text = YAML
    for old, new in yaml.items():
        assert old in text
        text = text.replace(old, new)
    messages = found(site, text, **changed)
    assert ids(messages) == [wanted], messages
    assert hint in messages[0].hint, messages[0].hint
    assert ("Error" in type(messages[0]).__name__) == (wanted[4] == "E")


@pytest.mark.parametrize(("changed", "yaml"), [
    ({"CSRF_COOKIE_SECURE": False, "CSRF_USE_SESSIONS": True}, {}),
    ({"CSRF_COOKIE_SECURE": False, "SESSION_COOKIE_SECURE": False}, {"{mode: redirect}": "serve"}),
    ({"CSRF_TRUSTED_ORIGINS": ["https://www.example.org", "http://["]}, {}),
    ({"DATA_UPLOAD_MAX_MEMORY_SIZE": 20 * 2**20}, {}),
    ({"DATA_UPLOAD_MAX_MEMORY_SIZE": None}, {}),
    ({"STATIC_URL": "https://cdn.example.org/static/"}, {}),
    ({"STATIC_URL": "/static/v1/", "STATIC_ROOT": "DIR/static/v1"}, {}),
    ({"STATIC_ROOT": None}, {}),
    ({"LOGGING": handler("FileHandler", "x")}, {}),  # LOGS/ is no directory of amy's
    ({"LOGGING": {"handlers": {
        "x": {"class": "no.such.Handler", "filename": "x"}, "y": {}, "z": {"class": "logging.FileHandler", "filename": 7}}}},
     {}),
    ({"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PORT", "443")}, {}),
    ({"AMY": None}, {}),
    ({"DEBUG": True}, {"user:": "stage: test\nuser:"}),
    ({"DATABASES": {"default": {**DATABASE, "CONN_MAX_AGE": 0}}}, {}),
])
def test_what_is_right_is_left_alone(site, changed, yaml):
    text = YAML
    for old, new in yaml.items():
        text = text.replace(old, new)
    changed = {key: value.replace("DIR", str(site.directory)) if isinstance(value, str) else value
               for key, value in changed.items()}
    assert found(site, text, **changed) == []


def test_a_link_to_a_release_is_followed(site):
    release = site.directory / "releases/7"
    release.mkdir(parents=True)
    (site.directory / "repo").rmdir()
    (site.directory / "repo").symlink_to(release)
    with override_settings(**site.settings):
        assert conf.directory() == site.directory.resolve() and conf.site() == "example.org"
    assert ids(found(site, DEBUG=True)) == ["amy.E015"]


def test_on_a_laptop_it_is_silent(site):
    site.yaml.unlink()
    assert found(site, DEBUG=True, ALLOWED_HOSTS=[], SECURE_PROXY_SSL_HEADER=None) == []
    with override_settings(**site.settings):
        assert conf.directory() is None


@pytest.mark.root
def test_directories_that_we_may_not_enter(site):
    """A stranger's BASE_DIR above which nobody may look."""
    (site.directory / "repo").chmod(0o755)
    site.directory.chmod(0)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        with override_settings(**site.settings):
            os._exit(0 if conf.directory() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    site.directory.chmod(0o755)


@pytest.mark.parametrize("content", [b"site: [", b"- a\n- b\n", b"\xff\xfe\x00", b""])
def test_a_site_yaml_that_is_none(site, content):
    site.yaml.write_bytes(content)
    conf._load.cache_clear()
    assert found(site, DEBUG=True) == [], "a daemon tells it, not every command"
    messages = found(site, deploy=True, DEBUG=True)
    assert ids(messages) == ["amy.I001"] and "site.yaml" in messages[0].msg
    assert ids(found(site, SECURE_PROXY_SSL_HEADER=None, USE_X_FORWARDED_HOST=True)) == ["amy.W003", "amy.W007"]


@pytest.mark.parametrize("text", [
    "site: [1]\naliases: x\nhttp: [1]\nworkers: 7\nroutes: [x, {path: [1]}]\nlimits: {body: 7}\nlogs: {files: 3}\n",
    "site: {a: b}\nhttp: {mode: {}, except: x, peers: {}}\nworkers: [{count: many, slots: -1}]\nlogs: x\n",
])
def test_wrong_kinds_are_the_daemons_to_tell(site, text):
    """Whatever stands there: no exception, as every command runs the checks."""
    found(site, text, SECURE_SSL_REDIRECT=True)
    with override_settings(**site.settings):
        assert checks.connections_needed(conf.read_yaml()) >= 0


def test_without_pyyaml_it_says_so(site, monkeypatch):
    import builtins
    plain = builtins.__import__

    def refuse(name, *arguments, **options):
        if name == "yaml":
            raise ImportError(name)
        return plain(name, *arguments, **options)

    conf._load.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    messages = found(site, deploy=True, DEBUG=True)
    assert ids(messages) == ["amy.I001"] and "PyYAML" in messages[0].msg
    conf._load.cache_clear()


def test_connections_that_are_kept(site):
    with override_settings(**site.settings):
        # Three workers and one more, four threads each; one rq worker and one more.
        assert checks.connections_needed(conf.read_yaml()) == 4 * 4 + 2


@pytest.mark.parametrize(("text", "size"), [
    ("0B", 0), ("20MiB", 20 << 20), ("1GB", 10**9), ("512B", 512), ("1TiB", 1 << 40),
    ("20", None), ("MiB", None), ("", None), ("2 MiB", None), ("-1B", None), ("1KBi", None), ("²B", None),
])
def test_sizes(text, size):
    assert conf.size(text) == size


def test_the_page_has_the_defaults_of_the_health_page():
    page = (TOP / "docs/django.md").read_text()
    source = (TOP / "bindings/python/src/amy/contrib/django/health.py").read_text()
    settings = {}
    exec(re.search(r"^```python\n(AMY = .*?)^```", page, re.M | re.S)[1], settings)
    asked = dict(re.findall(r'_option\("(\w+)", ([^()]+)\)', source))
    told = settings["AMY"]["HEALTH"]
    assert told.keys() == asked.keys()
    for key in ("PATH", "DEADLINE_S", "MAX_AGE_S"):
        assert repr(told[key]) == asked[key].replace('"', "'")


def test_everything_says_what_it_is():
    things = dict(public_things(amy.contrib.django))
    assert "amy.contrib.django.checks.debug" in things and "amy.contrib.django.health.view" in things
    assert undocumented(things) == []


def test_the_page_lists_every_check():
    page = (TOP / "docs/django.md").read_text()
    source = (TOP / "bindings/python/src/amy/contrib/django/checks.py").read_text()
    listed = re.findall(r"^\| (amy\.[EWI]\d+) \|", page, re.M)
    assert sorted(listed) == sorted(re.findall(r'id="(amy\.[EWI]\d+)"', source))
    assert {misfit[0] for misfit in MISFITS} | {"amy.I001", "amy.W017"} == set(listed)
