"""Settings out of environment variables, and nothing else."""

import os

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict


def required(name):
    """The variable's value; a start without it would go wrong later."""
    value = os.environ.get(name, "")
    if not value:
        raise ImproperlyConfigured(f"the environment variable {name} is not set")
    return value


def flag(name, default=False):
    """1, true, yes or on; anything else is no."""
    value = os.environ.get(name)
    if value is None:
        return default
    return value.strip().lower() in {"1", "true", "yes", "on"}


def words(name):
    """A list separated by commas or blanks."""
    return os.environ.get(name, "").replace(",", " ").split()


def database():
    """Django's DATABASES["default"] from DATABASE_URL or libpq's PG* variables.

    DATABASE_URL is whatever libpq takes, so that the very same variable serves
    psql and pg_dump: postgresql://user@/name?host=/run/postgresql, say.
    """
    url = os.environ.get("DATABASE_URL", "")
    try:
        given = conninfo_to_dict(url, connect_timeout=3)
    except ProgrammingError as error:
        # libpq's message may repeat the URL, and with it a password.
        raise ImproperlyConfigured("DATABASE_URL is no libpq URI") from error
    name = given.pop("dbname", None) or os.environ.get("PGDATABASE")
    if not name:
        raise ImproperlyConfigured("neither DATABASE_URL nor PGDATABASE is set")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": given.pop("user", ""),
        "PASSWORD": given.pop("password", ""),
        "HOST": given.pop("host", ""),
        "PORT": given.pop("port", ""),
        "OPTIONS": given,
        # A restarted database is noticed before a request fails on it.
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
