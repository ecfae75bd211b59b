"""System checks of settings that do not fit the host.

They speak up where there is a site: a directory above BASE_DIR with a site.yaml.
On somebody's laptop they are silent. docs/django.md has a table of all of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from logging import FileHandler
from logging.handlers import BaseRotatingHandler, WatchedFileHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.http.request import validate_host
from django.utils.module_loading import import_string

from amy.contrib.django import conf
from amy.contrib.django.conf import Yaml

PROTO_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# What amy-front sets anew on every request, whatever the visitor sent.
SET_ANEW = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_PORT")
DEFAULT_BODY = "20MiB"


YamlCheck = Callable[[Yaml], Iterable[CheckMessage]]


def _on_a_host(check: YamlCheck) -> Callable[..., list[CheckMessage]]:
    """Registers a check that compares with site.yaml; silent without one."""

    def run(app_configs: object, **_options: object) -> list[CheckMessage]:
        try:
            return list(check(conf.read_yaml()))
        except conf.Unread:
            return []

    return _register(check, run)


def _on_any_host(check: YamlCheck) -> Callable[..., list[CheckMessage]]:
    """Registers a check that holds on every host, also where site.yaml cannot be read."""

    def run(app_configs: object, **_options: object) -> list[CheckMessage]:
        return [] if conf.directory() is None else list(check({}))

    return _register(check, run)


def _register(check: YamlCheck, run: Callable[..., list[CheckMessage]]) -> Callable[..., list[CheckMessage]]:
    run.__name__ = check.__name__
    run.__doc__ = check.__doc__
    register(run, "amy")
    return run


@register("amy", deploy=True)
def site_yaml(app_configs: object, **_options: object) -> list[CheckMessage]:
    """manage.py check --deploy: a host whose site.yaml we cannot read, so that most
    is not compared. Not at each command: nothing is wrong with the settings."""
    if conf.directory() is None:
        return []
    try:
        conf.read_yaml()
    except conf.Unread as why:
        return [Info(f"The settings are not compared with site.yaml: {why}.",
                     hint="Install PyYAML into the site's environment, and let the site's user "
                          "read site.yaml.", id="amy.I001")]
    return []


# ---- TLS, which ends at amy-front


def _http_mode(yaml: Yaml) -> str:
    """`http: serve` and `http: {mode: serve}` are the same."""
    alone: str = conf.get(yaml, "http", "")
    mode: str = conf.get(yaml, "http.mode", "redirect")
    return alone or mode


@_on_any_host
def proxy_header(_yaml: Yaml) -> Iterator[CheckMessage]:
    """How Django is to know that the visitor came by HTTPS."""
    header = settings.SECURE_PROXY_SSL_HEADER or None  # () is off as well
    works = header is not None and (tuple(header) == PROTO_HEADER or header[0] == SET_ANEW[1])
    if header is not None and header[0] not in SET_ANEW:
        yield Error(
            f"SECURE_PROXY_SSL_HEADER names {header[0]}, which amy-front passes on as the visitor sent it: "
            "anybody can pretend to come by HTTPS.",
            hint=f"SECURE_PROXY_SSL_HEADER = {PROTO_HEADER}: amy-front sets that one anew.", id="amy.E001")
    elif not works and settings.SECURE_SSL_REDIRECT:
        yield Error(
            "SECURE_SSL_REDIRECT redirects every request for ever: TLS ends at amy-front, and Django "
            "takes all of them for plain HTTP.",
            hint=f"SECURE_PROXY_SSL_HEADER = {PROTO_HEADER}", id="amy.E002")
    elif not works:
        yield Warning(
            "Django takes every request for plain HTTP: TLS ends at amy-front. Forms are refused (the "
            "Origin field says https), and absolute links are wrong.",
            hint=f"SECURE_PROXY_SSL_HEADER = {PROTO_HEADER}", id="amy.W003")


@_on_a_host
def ssl_redirect(yaml: Yaml) -> Iterator[CheckMessage]:
    """Django redirects what site.yaml wants to be served over plain HTTP."""
    if not settings.SECURE_SSL_REDIRECT:
        return
    served = ["everything"] if _http_mode(yaml) == "serve" else [
        *conf.get(yaml, "http.except", []), *conf.get(yaml, "http.peers", [])]
    if served:
        yield Warning(
            f"SECURE_SSL_REDIRECT redirects what site.yaml serves over plain HTTP: {', '.join(map(str, served))}.",
            hint="SECURE_SSL_REDIRECT = False: amy-front redirects all else (http: in site.yaml).",
            id="amy.W004")


@_on_a_host
def cookies(yaml: Yaml) -> Iterator[CheckMessage]:
    """Cookies that would also go over plain HTTP."""
    if _http_mode(yaml) == "serve":
        return
    has_sessions = "django.contrib.sessions" in settings.INSTALLED_APPS
    has_csrf = any(name.endswith("CsrfViewMiddleware") for name in settings.MIDDLEWARE)
    for name, used in (("SESSION_COOKIE_SECURE", has_sessions),
                       ("CSRF_COOKIE_SECURE", has_csrf and not settings.CSRF_USE_SESSIONS)):
        if used and not getattr(settings, name):
            yield Warning(
                f"{name} is not set: a browser that is lured to http:// sends the cookie unencrypted, before "
                "amy-front can redirect it.", hint=f"{name} = True", id="amy.W005")


# ---- names


@_on_a_host
def allowed_hosts(yaml: Yaml) -> Iterator[CheckMessage]:
    """Names that amy-front serves and Django refuses."""
    names = conf.names(yaml)
    refused = [name for name in names if not validate_host(name, settings.ALLOWED_HOSTS)]
    hint = f"ALLOWED_HOSTS = {names!r}"
    if names and names[0] in refused:
        yield Error(f"ALLOWED_HOSTS does not have {names[0]}, the site itself: Django answers all of its "
                    "visitors with 400.", hint=hint, id="amy.E006")
    elif refused:
        yield Warning(f"ALLOWED_HOSTS does not have {', '.join(refused)}, which site.yaml has as aliases: "
                      "Django answers 400 there. Silence this where they serve files alone.",
                      hint=hint, id="amy.W018")


@_on_any_host
def forwarded_host(_yaml: Yaml) -> Iterator[CheckMessage]:
    """A second source for the name, which is only right if nobody forges it."""
    if settings.USE_X_FORWARDED_HOST:
        yield Warning(
            "USE_X_FORWARDED_HOST is not needed: the Host field that amy-front passes on is what the "
            "visitor asked for. A proxy in front.trusted can set the other one.",
            hint="USE_X_FORWARDED_HOST = False", id="amy.W007")


@_on_a_host
def trusted_origins(yaml: Yaml) -> Iterator[CheckMessage]:
    """Origins from which forms are taken, though their pages may be forged."""
    if _http_mode(yaml) == "serve":
        return
    names = set(conf.names(yaml))
    plain = [origin for origin in settings.CSRF_TRUSTED_ORIGINS
             if origin.startswith("http://") and _host_of(origin) in names]
    if plain:
        yield Warning(
            f"CSRF_TRUSTED_ORIGINS has {', '.join(plain)}: who can change what passes over plain HTTP can "
            "post forms in a visitor's name.",
            hint="Leave it out: with SECURE_PROXY_SSL_HEADER set, Django takes forms of its own pages.",
            id="amy.W008")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:  # a bracket that is never closed, say
        return None


# ---- sizes, files


@_on_a_host
def body_size(yaml: Yaml) -> Iterator[CheckMessage]:
    """A limit that is never reached, because amy-front's comes first."""
    text = conf.get(yaml, "limits.body", DEFAULT_BODY)
    most = conf.size(text)
    ours = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if most is not None and ours is not None and ours > most:
        yield Warning(
            f"DATA_UPLOAD_MAX_MEMORY_SIZE is {ours} bytes, but amy-front refuses more than {text} with 413.",
            hint=f"In site.yaml: limits: {{body: {-(-ours // 2**20)}MiB}}; or a smaller "
                 "DATA_UPLOAD_MAX_MEMORY_SIZE.", id="amy.W009")


def _static_route(yaml: Yaml, path: str) -> Yaml:
    """The route that answers what is below a path; that of nobody's writing, too."""
    routes = [{"path": "/static/", "files": "static"}, {"path": "/", "pool": ""},
              *conf.maps(yaml, "routes")]
    fitting = [route for route in routes if path.startswith(str(route.get("path", "?")).rstrip("/") + "/")]
    # The longest wins; of two of one length the later, which somebody wrote.
    return max(reversed(fitting), key=lambda route: len(str(route["path"]).rstrip("/")))


@_on_a_host
def static_files(yaml: Yaml) -> Iterator[CheckMessage]:
    """collectstatic writes to one place, amy-front serves another."""
    path = urlsplit(settings.STATIC_URL or "").path
    elsewhere = bool(urlsplit(settings.STATIC_URL or "").netloc)
    root = settings.STATIC_ROOT
    if "django.contrib.staticfiles" not in settings.INSTALLED_APPS or elsewhere or not path or not root:
        return
    path = "/" + path.strip("/") + "/"
    route = _static_route(yaml, path)
    if "files" not in route:
        yield Warning(
            f"{path} is answered by workers, and Django serves no static files in production.",
            hint=f"In site.yaml: routes: [{{path: {path}, files: {_beneath(Path(root))}}}]", id="amy.W010")
        return
    directory = conf.directory()
    served = directory / str(route["files"]) if directory else Path(str(route["files"]))
    rest = path[len(str(route["path"]).rstrip("/")) + 1:]
    if (served / rest).resolve() != Path(root).resolve():
        yield Warning(
            f"collectstatic writes to {root}, but amy-front serves {path} from {served / rest}.",
            hint=f"STATIC_ROOT = {str(served / rest)!r}, or in site.yaml: routes: [{{path: {path}, "
                 f"files: {_beneath(Path(root))}}}]", id="amy.W011")


def _beneath(path: Path) -> str:
    """A directory as site.yaml has it: beneath the site's."""
    directory = conf.directory()
    resolved = path.resolve()
    if directory is not None and resolved.is_relative_to(directory.resolve()):
        return str(resolved.relative_to(directory.resolve()))
    return "static"


def _log_handlers() -> Iterator[tuple[str, type, Path]]:
    """Handlers of LOGGING that write files: name, class, file."""
    handlers = (settings.LOGGING or {}).get("handlers", {})
    for name, handler in handlers.items():
        try:
            kind = import_string(handler.get("class", ""))
        except (ImportError, AttributeError, TypeError):
            continue  # logging itself complains
        file = handler.get("filename")
        if isinstance(kind, type) and issubclass(kind, FileHandler) and isinstance(file, (str, Path)):
            yield name, kind, Path(file)


@_on_a_host
def log_files(yaml: Yaml) -> Iterator[CheckMessage]:
    """Files in logs/, which amy rotates and several processes write."""
    directory = conf.directory()
    logs = (directory / "logs").resolve() if directory else Path("/nonexistent")
    listed = {str(one.get("path")) for one in conf.maps(conf.get(yaml, "logs", {}), "files")}
    for name, kind, file in _log_handlers():
        if file.resolve().parent != logs:
            continue
        watched = "'class': 'logging.handlers.WatchedFileHandler'"
        if issubclass(kind, BaseRotatingHandler):
            yield Warning(
                f"The log handler {name!r} rotates {file} in every worker at once: lines are lost.",
                hint=f"{watched}, and in site.yaml: logs: {{files: [{{path: {file.name}}}]}}; or log to standard "
                     "error, which goes to logs/gunicorn_supervisor.log.", id="amy.W012")
        elif file.name not in listed:
            yield Warning(
                f"Nobody rotates {file}, to which the log handler {name!r} writes.",
                hint=f"In site.yaml: logs: {{files: [{{path: {file.name}}}]}}, with {watched}; or log to standard "
                     "error, which goes to logs/gunicorn_supervisor.log.", id="amy.W013")
        elif not issubclass(kind, WatchedFileHandler):
            yield Warning(
                f"The log handler {name!r} goes on writing to the old file when amy-workers has rotated {file}.",
                hint=watched, id="amy.W014")


# ---- the rest


@_on_a_host
def debug(yaml: Yaml) -> Iterator[CheckMessage]:
    """Tracebacks with settings for every visitor."""
    if settings.DEBUG and conf.get(yaml, "stage", "production") == "production":
        yield Error(
            "DEBUG is on at a production site: whoever meets an error sees code and settings.",
            hint="DEBUG = False, or in site.yaml: stage: test", id="amy.E015")


def _is_persistent(alias: str) -> bool:
    age = settings.DATABASES[alias].get("CONN_MAX_AGE", 0)
    return age is None or age > 0


@_on_any_host
def connection_health(_yaml: Yaml) -> Iterator[CheckMessage]:
    """Connections that outlive a request, and the server's restart."""
    for alias, database in settings.DATABASES.items():
        if _is_persistent(alias) and not database.get("CONN_HEALTH_CHECKS"):
            yield Warning(
                f"The database {alias!r} keeps connections (CONN_MAX_AGE), and after a restart of its server "
                "each worker fails one request.",
                hint="'CONN_HEALTH_CHECKS': True", id="amy.W016")


def _whole(text: Any, default: int) -> int:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else default


def connections_needed(yaml: Yaml) -> int:
    """What is held when each thread of each worker keeps one, and each pool has
    one worker more, as it does while a reload replaces them."""
    needed = 0
    for pool in conf.maps(yaml, "workers"):
        slots = _whole(pool.get("slots"), 1)
        needed += (_whole(pool.get("count"), 1) + 1) * slots
    return needed


@register(Tags.database)
def connection_count(databases: Sequence[str] | None = None, **_options: object) -> list[CheckMessage]:
    """manage.py check --database default: more connections than the server has."""
    from django.db import connections

    try:
        needed = connections_needed(conf.read_yaml())
    except conf.Unread:
        return []
    found: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "postgresql" or not _is_persistent(alias):
            continue
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('max_connections')::int"
                           " - current_setting('superuser_reserved_connections')::int")
            (most,) = cursor.fetchone()
        if needed > most:
            found.append(Warning(
                f"The workers of site.yaml keep up to {needed} connections to {alias!r}, whose server takes {most}.",
                hint="A higher max_connections, fewer workers or slots, CONN_MAX_AGE = 0, or a pooler such as "
                     "pgbouncer.", id="amy.W017"))
    return found
