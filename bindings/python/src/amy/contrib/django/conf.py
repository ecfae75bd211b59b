"""Which site this is: its name, its directory, and what its site.yaml says."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

#: site.yaml as YAML has it, every single value a text: sizes and durations have
#: their own units (docs/site-yaml.md).
Yaml = Mapping[str, Any]

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
          "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def setting(key: str, default: Any = None) -> Any:
    """A key of the setting AMY."""
    return (getattr(settings, "AMY", None) or {}).get(key, default)


def directory() -> Path | None:
    """The site's directory: AMY["DIRECTORY"], or the nearest one above BASE_DIR
    (or else the working directory) that has a site.yaml. None: this is no site on
    a host, but somebody's checkout, say."""
    given = setting("DIRECTORY")
    if given:
        return Path(given)
    start = Path(getattr(settings, "BASE_DIR", None) or Path.cwd()).resolve()
    return next((above for above in start.parents if _has_site_yaml(above)), None)


def _has_site_yaml(directory: Path) -> bool:
    try:
        return (directory / "site.yaml").exists()
    except OSError:  # a directory that we may not look into
        return False


def site() -> str:
    """The site's name: AMY["SITE"], $AMY_SITE of a worker, or the directory's."""
    given = setting("SITE") or os.environ.get("AMY_SITE")
    found = directory()
    return str(given or (found.name if found else ""))


def run_directory() -> str | None:
    """Where the daemons' sockets are; None: where amy.control looks by itself."""
    given = setting("RUN_DIRECTORY")
    return str(given) if given else None


class Unread(Exception):
    """site.yaml cannot be read here; why."""


def read_yaml() -> Yaml:
    """The site's site.yaml. Raises Unread."""
    found = directory()
    if found is None:
        raise Unread("no site.yaml above BASE_DIR")
    file = found / "site.yaml"
    try:
        return _load(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise Unread(f"{file}: {error.strerror}") from None


@lru_cache(maxsize=1)
def _load(file: Path, _mtime_ns: int) -> Yaml:
    try:
        import yaml
    except ImportError:
        raise Unread("PyYAML is not installed") from None
    try:
        # No types: "20MiB", "30s" and "on" mean what docs/site-yaml.md says.
        loaded = yaml.load(file.read_text(), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Unread(f"{file} is no YAML: amyctl status says where") from None
    if not isinstance(loaded, dict):
        raise Unread(f"{file} is no map")
    return loaded


def get(yaml: Yaml, path: str, default: Any) -> Any:
    """The value at a dotted path, or the default where it is not, or is of
    another kind: the daemons tell what is wrong with it."""
    value: Any = yaml
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return default
        value = value[key]
    return value if isinstance(value, type(default)) else default


def maps(yaml: Yaml, key: str) -> list[Yaml]:
    """A list of maps; empty where there is none."""
    return [one for one in get(yaml, key, []) if isinstance(one, Mapping)]


def size(text: str) -> int | None:
    """Bytes of a size as docs/site-yaml.md has them: "20MiB". None: it is none."""
    digits = text.rstrip("BKMGTi")
    unit = text[len(digits):]
    return int(digits) * _UNITS[unit] if digits.isascii() and digits.isdigit() and unit in _UNITS else None


def names(yaml: Yaml) -> list[str]:
    """The names that amy-front serves the site under."""
    return [name for name in (get(yaml, "site", ""), *get(yaml, "aliases", [])) if isinstance(name, str) and name]
