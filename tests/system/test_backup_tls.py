"""A database over TCP by TLS: whom a site says to trust is trusted, nobody else; and
a pooler, which backups must not go through."""

import subprocess

import pytest

from backups import PASSWORD, Shop, TrustingPostgres, last_event
from hosting import users
from hosting.certificates import Authority
from hosting.process import Child
from hosting.services import free_port
from hosting.site import make_directory
from hosting.users import as_user, clean_environment
from hosting.wait import wait_for
from support import command_line, processes

SOON_S = 60
# By TLS and with a password, or not at all.
RULES = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"


@pytest.fixture(scope="module")
def server(session_root):
    """With a certificate for localhost by an authority of its own."""
    user = users.site_user()
    directory = session_root / "pt"
    make_directory(directory, 0o700, user)
    authority = Authority(session_root)
    authority.issue(directory, ["localhost"])
    for name in ("fullchain.pem", "privkey.pem"):
        subprocess.run(["chown", str(user.uid), directory / name], check=True)
    made = TrustingPostgres(directory, user, {
        "listen_addresses": "127.0.0.1", "port": free_port(), "ssl": "on",
        "ssl_cert_file": directory / "fullchain.pem", "ssl_key_file": directory / "privkey.pem"})
    made.create()
    (made.data / "pg_hba.conf").write_text(RULES)
    made.start()
    made.query(f"ALTER ROLE \"{user.name}\" PASSWORD '{PASSWORD}'", "postgres")
    made.authority = authority.certificate
    made.authority.chmod(0o644)
    yield made
    made.stop()


@pytest.fixture
def shop(new_host, server, django_venv):
    return Shop(new_host(), server, django_venv)


def url(shop, host="localhost", **words):
    words = {"sslmode": "verify-full", "sslrootcert": shop.postgres.authority, **words}
    query = "&".join(f"{name}={value}" for name, value in words.items())
    return (f"postgres://{shop.host.user.name}:{PASSWORD}@{host}:{shop.postgres.settings['port']}"
            f"/{shop.database}?{query}")


def expect_refused(event, *words):
    assert event["event"] == "failed", event
    assert PASSWORD not in event["message"]
    for word in words:
        assert word in event["message"], event


def test_the_right_authority_passes_and_nothing_shows_in_arguments(shop):
    shop.set_url(url(shop))
    # pg_dump waits for this lock, and can be looked at.
    holder = subprocess.Popen(
        as_user(shop.host.user, ["psql", "-X", "-q", "-h", shop.postgres.directory, "-p",
                                 shop.postgres.settings["port"], "-d", shop.database]),
        stdin=subprocess.PIPE, env=clean_environment(), cwd="/")
    holder.stdin.write(b"BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE;\n")
    holder.stdin.flush()
    wait_for(lambda: shop.query("SELECT count(*) FROM pg_locks WHERE granted AND mode ="
                                " 'AccessExclusiveLock' AND relation = 'item'::regclass") == "1",
             SOON_S, "the table is locked")
    child = shop.start("dump")
    wait_for(lambda: shop.query("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation ="
                                " 'item'::regclass") == "1", SOON_S, "pg_dump waits")
    said = [command_line(pid) for pid in processes()]
    sessions = shop.query("SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                          f" WHERE datname = '{shop.database}' AND application_name"
                          " LIKE 'amy-backup%' GROUP BY 1")
    holder.stdin.close()
    holder.wait(SOON_S)
    event = last_event(child.communicate(timeout=SOON_S)[0])
    assert event["event"] == "done" and event["set"]["rows"] == 1002, event
    assert sessions == "t|2", sessions
    assert any("pg_dump -Fc" in words for words in said)
    assert PASSWORD not in "\n".join(said)
    for path in [*shop.sets.rglob("*.json"), shop.site.logs / "backup.log"]:
        assert PASSWORD not in path.read_text(), path
    assert shop.run("verify")["event"] == "done"


def test_it_is_restored_over_tls(shop):
    shop.set_url(url(shop))
    assert shop.run("dump")["event"] == "done"
    target = f"{shop.database}_again"
    shop.query(f"CREATE DATABASE {target}", "postgres")
    assert shop.run("restore", to=target)["event"] == "done"
    assert shop.counts(target) == shop.counts()


def test_another_authority_is_refused(shop):
    other = shop.host.root / "other"
    other.mkdir()
    certificate = Authority(other).certificate
    certificate.chmod(0o644)
    shop.set_url(url(shop, sslrootcert=certificate))
    expect_refused(shop.run("dump"), "certificate", "verify failed")
    assert shop.names() == []


def test_another_name_is_refused(shop):
    """127.0.0.1 is not what the certificate is for."""
    shop.set_url(url(shop, host="127.0.0.1"))
    expect_refused(shop.run("dump"), "certificate", "does not match host name")
    assert shop.names() == []


def test_no_authority_at_all_is_no_reason_to_trust(shop):
    shop.set_url(url(shop, sslrootcert=shop.host.root / "missing.pem"))
    expect_refused(shop.run("dump"), "missing.pem")
    assert shop.names() == []


def test_without_tls_the_server_refuses(shop):
    shop.set_url(url(shop, sslmode="disable"))
    expect_refused(shop.run("dump"), "no pg_hba.conf entry")


@pytest.fixture
def elsewhere(shop):
    """What a site without DATABASE_URL has in its environment."""
    return {name: value for name, value in shop.environment().items() if name != "DATABASE_URL"}


def test_a_service_may_say_all_of_it(shop, elsewhere):
    service = shop.host.root / "pg_service.conf"
    service.write_text(
        f"[shop]\nhost=localhost\nport={shop.postgres.settings['port']}\n"
        f"dbname={shop.database}\nuser={shop.host.user.name}\npassword={PASSWORD}\n"
        f"sslmode=verify-full\nsslrootcert={shop.postgres.authority}\n")
    service.chmod(0o644)
    variables = elsewhere | {"PGSERVICEFILE": str(service)}
    event = shop.run("dump", environment=variables, **{"from": "service=shop"})
    assert event["event"] == "done" and event["set"]["rows"] == 1002, event
    service.write_text(service.read_text().replace("localhost", "127.0.0.1"))
    expect_refused(shop.run("dump", environment=variables, **{"from": "service=shop"}),
                   "does not match host name")


def test_variables_may_say_all_of_it(shop, elsewhere):
    variables = elsewhere | {
        "PGHOST": "localhost", "PGPORT": str(shop.postgres.settings["port"]),
        "PGUSER": shop.host.user.name, "PGPASSWORD": PASSWORD, "PGDATABASE": shop.database,
        "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(shop.postgres.authority)}
    assert shop.run("dump", environment=variables, **{"from": "PG"})["event"] == "done"
    expect_refused(shop.run("dump", environment=variables | {"PGHOST": "127.0.0.1"},
                            **{"from": "PG"}), "does not match host name")


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_pgbouncer_is_refused(shop, mode):
    """A lock of a session would be held by whoever has that session next."""
    directory = shop.host.root / "b"
    make_directory(directory, 0o700, shop.host.user)
    user = shop.host.user.name
    (directory / "users").write_text(f'"{user}" "{PASSWORD}"\n')
    (directory / "bouncer.ini").write_text(
        f"[databases]\n* = host={shop.postgres.directory} port={shop.postgres.settings['port']}\n"
        f"[pgbouncer]\nlisten_addr =\nlisten_port = 5432\nunix_socket_dir = {directory}\n"
        f"auth_type = trust\nauth_file = {directory}/users\npool_mode = {mode}\n"
        "ignore_startup_parameters = extra_float_digits\n")
    for path in directory.iterdir():
        path.chmod(0o644)
    pooler = Child("pgbouncer", ["/usr/sbin/pgbouncer", directory / "bouncer.ini"],
                   shop.host.root / "bouncer.log", shop.host.user, death_signal="INT")
    try:
        wait_for((directory / ".s.PGSQL.5432").exists, SOON_S, "pgbouncer listens")
        shop.set_url(shop.url(directory))
        event = shop.run("dump")
    finally:
        pooler.stop()
    assert event["event"] == "failed" and "connection pooler" in event["message"], event
    assert shop.names() == []
    assert shop.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"
