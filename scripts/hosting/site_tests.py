"""Runs the Django site's own tests, with a PostgreSQL and a Redis for the while."""

import shutil
import sys
import tempfile
from pathlib import Path

from hosting import users, venv
from hosting.services import Postgres, Redis
from hosting.site import APPLICATION, TEST_BASE, Site, make_directory


def main():
    TEST_BASE.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="site", dir=TEST_BASE))
    make_directory(root)
    user = users.site_user()
    make_directory(root / "sv", 0o700, user)
    postgres, redis = Postgres(root / "sv", user), Redis(root / "sv", user)
    try:
        postgres.start()
        redis.start()
        site = Site(root, "test.localhost", user)
        make_directory(site.directory)
        site.copy_application()
        pins = site.repo / "requirements.txt"
        base = venv.build(TEST_BASE / f"venv-{venv.requirements_hash(pins)}", APPLICATION / pins.name)
        venv.build_over(site.venv, base)
        site.write_postactivate({
            "DJANGO_SECRET_KEY": "for tests", "DJANGO_PLAIN_HTTP": "1",
            "DATABASE_URL": postgres.url, "AMY_REDIS_URL": redis.url,
        })
        print(site.run("bash", "-c", "python manage.py check && python manage.py "
                       "makemigrations --check --dry-run && python manage.py test 2>&1",
                       user=user))
        return 0
    except RuntimeError as error:
        print(error)
        return 1
    finally:
        redis.stop()
        postgres.stop()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
