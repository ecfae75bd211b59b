"""Django's settings. What differs between machines comes from the environment:

DJANGO_SECRET_KEY     required
DJANGO_ALLOWED_HOSTS  names the site answers to, separated by commas
DATABASE_URL          any libpq URI; or PGHOST, PGDATABASE and their like
AMY_REDIS_URL         redis://..., rediss://... or unix:///path/to/socket
DJANGO_RELEASE        what the release that runs is called; shown on each page
DJANGO_MEDIA_ROOT     where uploads are kept for an hour; amy-front reads them
DJANGO_STATIC_ROOT    where collectstatic puts files, for all releases together
AMY_RUN_DIRECTORY     where libamy's daemons listen, if not in /run/amy
DJANGO_DEBUG          1 shows tracebacks to visitors: never in production
DJANGO_PLAIN_HTTP     1 when no TLS stands before the site (tests)
"""

import os
from importlib.util import find_spec
from pathlib import Path

from config import env

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = env.required("DJANGO_SECRET_KEY")
DEBUG = env.flag("DJANGO_DEBUG")
RELEASE = os.environ.get("DJANGO_RELEASE", "")
ALLOWED_HOSTS = env.words("DJANGO_ALLOWED_HOSTS") or ["localhost", ".localhost"]

# TLS ends at amy-front, which sets this header anew on every request.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_COOKIE_SECURE = not env.flag("DJANGO_PLAIN_HTTP")
CSRF_COOKIE_HTTPONLY = True
SECURE_REFERRER_POLICY = "same-origin"

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

INSTALLED_APPS = [
    "django.contrib.staticfiles",
    "django_rq",
    "pages",
]

# manage.py maintenance, and checks of these settings; not needed to run.
AMY = {"RUN_DIRECTORY": os.environ.get("AMY_RUN_DIRECTORY")}
if find_spec("amy") is not None:
    INSTALLED_APPS.append("amy.contrib.django")

MIDDLEWARE = [
    "pages.release.ReleaseMiddleware",
    # Early, so that a load balancer may ask under any name.
    "pages.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "pages.release.release",
            ],
        },
    },
]

DATABASES = {"default": env.database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = os.environ.get("AMY_REDIS_URL", "redis://localhost:6379/0")
RQ_QUEUES = {
    "default": {
        "URL": REDIS_URL,
        "DEFAULT_TIMEOUT": 300,
        "REDIS_CLIENT_KWARGS": {"socket_connect_timeout": 3},
    },
}
# At once, because the visitor is sent to the job's page by its id.
RQ = {"COMMIT_MODE": "auto", "DEFAULT_RESULT_TTL": 3600}

# A name that changes with its content may be cached for ever.
STATIC_URL = "/static/"
STATIC_ROOT = Path(os.environ.get("DJANGO_STATIC_ROOT") or BASE_DIR / "staticfiles")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "pages.assets.SharedStaticFiles"},
}

# What X-Accel-Redirect: /private/... names; see site.yaml's routes.
MEDIA_ROOT = Path(os.environ.get("DJANGO_MEDIA_ROOT") or BASE_DIR / "media")

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

# Standard error: amy-workers takes it to logs/gunicorn_supervisor.log.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
