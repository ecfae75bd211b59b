"""Run within a machine: the example site as scripts/demo lays it out, with the
machine's own PostgreSQL and Redis.

usage: lay_out.py DOMAIN USER
"""

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))

from hosting.services import Postgres  # noqa: E402
from hosting.site import Site, make_directory  # noqa: E402
from hosting.users import User, as_user, create_missing  # noqa: E402

DATABASE_URL = "postgresql://{user}@/{database}?host=/var/run/postgresql"
REDIS_URL = "redis://localhost:6379/0"


def main():
    domain, name = sys.argv[1:]
    create_missing(name)
    user = User.named(name)
    for command in (["createuser", "--createdb", name], ["createdb", "-O", name, Postgres.DATABASE]):
        subprocess.run(as_user(User.named("postgres"), command), check=True, cwd="/")
    site = Site("/webapps", domain, user)
    site.make()
    make_directory(site.directory / "acme")
    site.deploy_django(DATABASE_URL.format(user=name, database=Postgres.DATABASE), REDIS_URL)
    site.write_yaml(site.sample_yaml())


main()
