"""A site with a database of its own, and jobs on it: through amy-backup, or
alone, under strace or behind a proxy that is not to be trusted."""

import itertools
import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from urllib.parse import quote

from hosting import users, venv
from hosting.host import binaries, sanitizer_options
from hosting.services import Postgres
from hosting.site import make_directory
from hosting.users import as_user, clean_environment

DOMAIN = "shop.localhost"
PASSWORD = "s3cr3t-never-to-be-seen"
YAML = """\
site: shop.localhost
user: {user}
database: {{from: DATABASE_URL}}
backup: {backup}
"""
GOOD = {"parsed", "restored"}
NUMBERS = itertools.count(1)


class TrustingPostgres(Postgres):
    """Its directory is the site's user's alone; a proxy of ours may enter."""

    AUTHENTICATION = "trust"


def trusting_server(directory):
    """For a fixture: a server of ours, through which proxies may come."""
    make_directory(directory, 0o700, users.site_user())
    server = TrustingPostgres(directory, users.site_user())
    server.start()
    yield server
    server.stop()


def proxies(shop):
    """For a fixture: a function that gives a proxy, which the site uses from now on."""
    made = []

    def new(change):
        directory = shop.host.root / f"x{len(made)}"
        made.append(Proxy(directory, shop.postgres, shop.host.user, change))
        shop.set_url(shop.url(directory))
        return made[-1]

    yield new
    for one in made:
        one.close()


def expect_failed(event, *words):
    assert event["event"] == "failed", event
    for word in words:
        assert word in event["message"], event
    return event


class Shop:
    """The site, its database in the shared server, and what can be done."""

    def __init__(self, host, postgres, base_venv, backup="{keep: 3}", rows=1000):
        self.host = host
        self.postgres = postgres
        self.read_through = set()
        self.database = f"shop{os.getpid()}_{next(NUMBERS)}"
        self.site = host.site(DOMAIN)
        make_directory(self.site.repo)
        venv.build_over(self.site.venv, base_venv)
        self.sets = self.site.directory / "DB_backups"
        self.query(f"CREATE DATABASE {self.database}", "postgres")
        if rows:
            self.fill(rows)
        self.set_url(self.url())
        self.write_yaml(backup)

    def write_yaml(self, backup):
        self.site.write_yaml(YAML.format(user=self.host.user.name, backup=backup))

    # ---- the database

    def url(self, directory=None, password=PASSWORD, database=None):
        where = quote(str(directory or self.postgres.directory), safe="")
        user = quote(self.host.user.name)
        return f"postgres://{user}:{password}@/{database or self.database}?host={where}"

    def set_url(self, url):
        self.current_url = url
        self.site.write_postactivate({"DATABASE_URL": url})

    def query(self, sql, database=None):
        return self.postgres.query(sql, database or self.database)

    def fill(self, rows):
        self.query(
            "CREATE TABLE item (id serial PRIMARY KEY, t text);"
            'CREATE TABLE "Odd name" ("x y" int);'
            'INSERT INTO "Odd name" VALUES (1), (2);'
            "INSERT INTO item (t) SELECT md5(i::text) || E'\\n\\\\.\\n' "
            f"FROM generate_series(1, {rows}) i;"
        )

    def counts(self, database=None):
        return (self.query("SELECT count(*), sum(hashtext(t)::bigint) FROM item", database),
                self.query('SELECT count(*) FROM "Odd name"', database))

    # ---- jobs of a running amy-backup

    def ask(self, action, **more):
        """Through the control socket, to the end."""
        path = f"/v1/sites/{DOMAIN}/jobs"
        status, job = self.host.control("backup", "POST", path, {"action": action, **more})
        assert status == 202, (status, job)
        while job["state"] == "running":
            status, job = self.host.control("backup", "GET", f"{path}/{job['run']}")
            assert status == 200, (status, job)
        return job

    # ---- jobs alone

    def spec(self, action, **more):
        return {"action": action, "site": DOMAIN, "from": "DATABASE_URL", "why": "manual",
                "count": 3, **more}

    def argv(self, prefix=()):
        shell = ["bash", "-c", 'exec 3< "$0"; exec "$@"', self.site.directory]
        return as_user(self.host.user, [*shell, *prefix, binaries() / "amy-backup", "--job"])

    def environment(self, **more):
        return clean_environment(DATABASE_URL=self.current_url, HOME="/nonexistent",
                                 **sanitizer_options(), **more)

    def start(self, action, prefix=(), environment=None, **more):
        """A process that does one job; its spec is given."""
        child = subprocess.Popen(self.argv(prefix), env=environment or self.environment(),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, cwd="/")
        child.stdin.write(json.dumps(self.spec(action, **more)).encode())
        child.stdin.close()
        child.stdin = None
        return child

    def run(self, action, prefix=(), environment=None, **more):
        """Its last event; None when it was killed before that."""
        child = self.start(action, prefix, environment, **more)
        return last_event(child.communicate(timeout=300)[0])

    def listed(self):
        event = self.run("list")
        assert event["event"] == "done", event
        return event["sets"]

    def names(self):
        return sorted(path.name for path in self.sets.iterdir())

    # ---- sets without a dump each

    def make_template(self):
        """One set as a dump makes it, moved away, of which others are copies."""
        event = self.run("dump")
        assert event["event"] == "done", event
        self.template = self.host.root / "template"
        shutil.move(self.sets / event["set"]["name"], self.template)

    def new_set(self, template=None):
        """Newer than all that there are; its name."""
        name = f"20261101T0000{len(list(self.sets.glob('2*'))):02}Z"
        path = self.sets / name
        shutil.copytree(template or self.template, path)
        manifest = json.loads((path / "manifest.json").read_text()) | {"name": name}
        (path / "manifest.json").write_text(json.dumps(manifest))
        for one in (path, *path.iterdir()):
            os.chown(one, self.host.user.uid, self.host.user.gid)
        return name

    def lose_sets(self):
        """And all memory of copies."""
        for path in self.sets.iterdir():
            shutil.rmtree(path)

    # ---- what must hold, whatever happened

    def expect_sound(self):
        """Every set that looks complete is; returns how many there are."""
        complete = [path for path in self.sets.iterdir() if path.is_dir()
                    and not path.name.endswith(".partial") and path.name != ".scratch"]
        for path in complete:
            manifest = json.loads((path / "manifest.json").read_text())
            for file in manifest["files"]:
                assert (path / file["name"]).stat().st_size == file["bytes"], path
            seen = (path.name, (path / "data.dump.zst").stat().st_mtime_ns)
            if seen not in self.read_through:
                check_restorable(path)
                self.read_through.add(seen)
        return len(complete)


def check_restorable(path):
    """By other programs than ours."""
    data = path / "data.dump.zst"
    manifest = json.loads((path / "manifest.json").read_text())
    wanted = next(file["sha256"] for file in manifest["files"] if file["name"] == data.name)
    done = subprocess.run(["sha256sum", data], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == wanted
    shell = 'set -o pipefail; zstd -dcq "$0" | pg_restore -f /dev/null'
    subprocess.run(["bash", "-c", shell, data], check=True, cwd="/")


def last_event(output):
    lines = output.decode().splitlines()
    events = [json.loads(line) for line in lines]
    return events[-1] if events and events[-1]["event"] in ("done", "failed") else None


class Proxy:
    """A server on a unix socket in a directory of its own that passes on what
    clients and PostgreSQL say, as `change` says: it is given the bytes from the
    server and how many came before; what it returns goes to the client, None
    cuts both off. What clients say goes through `ask` in the
    same way."""

    def __init__(self, directory, postgres, user, change=lambda data, passed: data,
                 ask=lambda data: data):
        self.directory = Path(directory)
        self.target = str(postgres.socket)
        self.change = change
        self.ask = ask
        make_directory(self.directory, 0o755)
        path = self.directory / ".s.PGSQL.5432"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        os.chmod(path, 0o777)
        self.listener.listen(16)
        self.user = user
        self.closing = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.closing:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self.target)
        except OSError:  # it has ended, and so has the test
            client.close()
            return
        threading.Thread(target=self.forward, args=(client, server), daemon=True).start()
        passed = 0
        try:
            while data := server.recv(65536):
                answer = self.change(data, passed)
                if answer is None:
                    break
                client.sendall(answer)
                passed += len(data)
        except OSError:
            pass
        for end in (client, server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def forward(self, client, server):
        try:
            while data := client.recv(65536):
                asked = self.ask(data)
                if asked is None:
                    break
                server.sendall(asked)
            server.shutdown(socket.SHUT_WR if not data else socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.closing = True
        self.listener.close()


def cut_after(limit):
    """Sessions end after so many bytes."""
    return lambda data, passed: data if passed + len(data) <= limit else None


class Gate:
    """Lets nothing of a table's rows through before it is opened: the dump has
    its locks then, and is far from done."""

    FIRST_ROW = b"c4ca4238a0b923820dcc509a6f75849b"

    def __init__(self):
        self.opened = threading.Event()
        self.reached = threading.Event()

    def __call__(self, data, passed):
        if self.FIRST_ROW in data:
            self.reached.set()
            self.opened.wait(120)
        return data
