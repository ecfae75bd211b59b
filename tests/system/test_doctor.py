"""amyctl doctor: nothing on a host that is well, and the right word where it is not; with real
servers, and other programs' files below a root of the test's own."""

import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosting import users
from hosting.certificates import Authority
from hosting.host import sanitizer_options
from hosting.services import Postgres, Redis, free_port
from hosting.site import make_directory
from hosting.users import as_user, clean_environment
from hosting.wait import wait_for
from people import everybody
from support import TINY, TINY_YAML, deploy_tiny
from upgrading import NEW, Installed, upgrade

# Of the machine that the tests run on, and no business of a test.
MACHINE = "clock,disk,dns,limits-somaxconn,limits-overcommit"
YAML = TINY_YAML + "database: {{from: DATABASE_URL}}\nredis: {{from: AMY_REDIS_URL}}\n"


@dataclass
class Clinic:
    host: object
    site: object
    etc: Path  # what stands for / where other programs' files are looked for

    def doctor(self, *words, skip=MACHINE, user=None, root=None):
        """(exit status, findings)"""
        environment = clean_environment(SSL_CERT_FILE=str(self.host.authority.certificate),
                                        **sanitizer_options())
        argv = self.host.amyctl_argv("doctor", *words, "--json", "--skip", skip,
                                     "--root", root or self.etc)
        done = subprocess.run(as_user(user, argv), env=environment, cwd="/", text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        assert done.returncode in {0, 1} and done.stderr == "", done
        report = json.loads(done.stdout)
        assert done.returncode == (report["weight"] > 0)
        return done.returncode, report["findings"]

    def heavy(self, *words, **options):
        """The checks of all warnings and errors."""
        findings = self.doctor(*words, **options)[1]
        return sorted({one["check"] for one in findings if one["severity"] in {"warning", "error"}})

    def set_variables(self, **variables):
        self.site.write_postactivate({"BEAT_FILE": "/dev/null", **variables})


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def redis_variables(postgres, redis):
    return {"DATABASE_URL": postgres.url, "AMY_REDIS_URL": redis.url}


@pytest.fixture(scope="module")
def clinic(host_for_module, django_venv, postgres, redis):
    """A host with all daemons and servers, which is well."""
    host = host_for_module
    site = deploy_tiny(host, TINY, django_venv, YAML, **redis_variables(postgres, redis))
    etc = host.root / "elsewhere"
    write(etc / "etc/systemd/system/timers.target.wants/certbot.timer", "")
    write(host.root / "renewal" / f"{TINY}.conf",
          f"[renewalparams]\nauthenticator = webroot\n[[webroot_map]]\n"
          f"{TINY} = {site.directory}/acme\n")
    host.start_workers()
    host.start_front()
    host.start_backup()
    return Clinic(host, site, etc)


def test_a_healthy_host_has_no_findings(clinic):
    code, findings = clinic.doctor()
    assert code == 0, findings
    assert findings == [], findings
    done = clinic.host.amyctl("doctor", TINY, "--skip", MACHINE + ",cert-chain", "--root", clinic.etc)
    assert "Nothing is wrong." in done.stdout


def test_words_for_people(clinic):
    clinic.site.logs.chmod(0o777)
    try:
        done = clinic.host.amyctl("doctor", "--skip", MACHINE, "--root", clinic.etc, check=False)
    finally:
        clinic.site.logs.chmod(0o750)
    assert done.returncode == 1
    assert f"{clinic.site.logs} has mode 0777" in done.stdout
    assert f"chmod 0750 {clinic.site.logs}" in done.stdout
    assert "[mode-wide]" in done.stdout and "to look after" in done.stdout


def test_what_cannot_be_examined_is_2(clinic):
    done = clinic.host.amyctl("doctor", "other.localhost", check=False)
    assert done.returncode == 2 and "there is no site 'other.localhost'" in done.stderr
    done = clinic.host.amyctl("doctor", "a", "b", check=False)
    assert done.returncode == 2


@pytest.mark.root
def test_others_are_told_what_they_cannot_see(clinic):
    """Neither silence nor false alarms."""
    stranger = everybody()["stranger"]
    argv = stranger.argv(clinic.host.amyctl_argv("doctor", "--json", "--skip", MACHINE + ",cert-chain",
                                                 "--root", clinic.etc))
    done = subprocess.run(argv, env=clean_environment(**sanitizer_options()), cwd="/", text=True,
                          capture_output=True, check=False, timeout=60)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["weight"] == 0, report
    unknown = {one["check"]: one for one in report["findings"] if one["severity"] == "unknown"}
    assert "only root and 'amy-demo' may" in unknown["environment"]["what"]
    # The site's own user sees its own.
    code, findings = clinic.doctor(user=clinic.site.user)
    assert code == 0 and "environment" not in {one["check"] for one in findings}, findings


# ---- files of other programs


def test_a_name_that_is_no_utf_8_is_told_as_well(clinic):
    """JSON has no such text, and a finding is not left out for it."""
    other = clinic.host.root / "latin"
    shutil.copytree(clinic.etc, other)
    (other / "etc/nginx/sites-enabled").mkdir(parents=True)
    with open(os.fsencode(other / "etc/nginx/sites-enabled") + b"/caf\xe9", "w") as file:
        file.write(f"server_name {TINY};\n")
    findings = clinic.doctor(root=other)[1]
    assert [one["what"].split(":")[0] for one in findings] == ["/etc/nginx/sites-enabled/caf?"]


def test_leftovers(clinic):
    site = clinic.site.directory
    old = clinic.host.root / "old"
    shutil.copytree(clinic.etc, old)
    write(old / "etc/nginx/sites-available/tiny", f"server {{ server_name {TINY}; }}\n")
    (old / "etc/nginx/sites-enabled").mkdir()
    (old / "etc/nginx/sites-enabled/tiny").symlink_to(old / "etc/nginx/sites-available/tiny")
    write(old / "etc/systemd/system/multi-user.target.wants/nginx.service", "")
    write(old / "etc/systemd/system/tiny.service", f"WorkingDirectory={site}/repo\nExecStart=gunicorn x\n")
    write(old / "etc/supervisor/conf.d/tiny.conf", f"[program:tiny]\ncommand={site}/repo/run\n")
    write(old / "etc/logrotate.d/tiny", f"{site}/logs/*.log {{\n daily\n}}\n")
    write(old / "var/spool/cron/crontabs/root", f"5 2 * * * pg_dump tiny > {site}/DB_backups/x\n")
    assert clinic.heavy(root=old) == [
        "cron-job", "gunicorn-unit", "logrotate-site", "nginx-enabled", "nginx-site",
        "supervisor-program"]


@pytest.mark.parametrize("change, check", [
    (("authenticator = webroot", "authenticator = nginx"), "renewal-authenticator"),
    (("authenticator = webroot", "authenticator = standalone"), "renewal-authenticator"),
    (("/acme", "/static"), "renewal-webroot"),
    (("[[", "renew_hook = systemctl reload nginx\n[["), "renewal-hook"),
])
def test_renewals_that_need_nginx(clinic, change, check):
    conf = clinic.host.root / "renewal" / f"{TINY}.conf"
    before = conf.read_text()
    try:
        conf.write_text(before.replace(*change))
        assert clinic.heavy() == [check]
    finally:
        conf.write_text(before)


def test_nobody_starts_certbot(clinic):
    other = clinic.host.root / "no-timer"
    make_directory(other)
    assert clinic.heavy(root=other) == ["renewal-timer"]
    # Debian's own line does nothing where systemd runs.
    write(other / "etc/cron.d/certbot",
          "0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && certbot -q renew\n")
    assert clinic.heavy(root=other) == ["renewal-timer"]
    write(other / "etc/cron.d/mine", "0 3 * * * root certbot renew\n")
    assert clinic.heavy(root=other) == []


def test_copies_and_modes(clinic):
    copy = clinic.host.webapps / f"{TINY}.bak"
    make_directory(copy)
    shutil.copy(clinic.site.yaml, copy / "site.yaml")
    file = clinic.site.venv / "bin/postactivate"
    mode = file.stat().st_mode
    try:
        file.chmod(0o644)
        assert clinic.heavy() == ["copy", "mode-secret"]
        if users.is_root():
            os.chown(clinic.site.logs, 0, 0)
            assert clinic.heavy(TINY) == ["mode-owner", "mode-secret"]
    finally:
        file.chmod(mode & 0o777)
        os.chown(clinic.site.logs, clinic.site.user.uid, clinic.site.user.gid)
        shutil.rmtree(copy)


def test_certificates(clinic):
    directory = clinic.host.certificates / TINY
    kept = clinic.host.root / "kept"
    shutil.copytree(directory, kept)
    try:
        clinic.host.authority.issue(directory, [TINY], days=90, since_days=80)
        assert clinic.heavy() == ["cert-expiry"]
        clinic.host.authority.issue(directory, ["other.localhost"])
        assert clinic.heavy() == ["cert-name"]
        (clinic.host.root / "stranger").mkdir()
        Authority(clinic.host.root / "stranger").issue(directory, [TINY])
        assert clinic.heavy() == ["cert-chain"]
        (directory / "fullchain.pem").write_text("no certificate")
        assert "cert-read" in clinic.heavy()
        (directory / "fullchain.pem").unlink()
        assert clinic.heavy() == ["cert-missing"]
    finally:
        shutil.rmtree(directory)
        shutil.copytree(kept, directory)


# ---- servers


def test_servers_that_do_not_answer(clinic, postgres, redis):
    try:
        clinic.set_variables(DATABASE_URL="postgresql:///x?host=/nonexistent",
                             AMY_REDIS_URL="unix:///nonexistent.sock")
        assert clinic.heavy() == ["postgres-answer", "redis-answer"]
        clinic.set_variables()
        findings = clinic.doctor()[1]
        assert any("has no AMY_REDIS_URL" in one["what"] for one in findings), findings
        (clinic.site.venv / "bin/postactivate").write_text("exit 1\n")
        assert clinic.heavy() == ["environment"]
    finally:
        clinic.set_variables(**redis_variables(postgres, redis))


def test_a_server_that_hangs_does_not_hang_it(clinic, postgres, redis):
    """It listens, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        clinic.set_variables(DATABASE_URL=postgres.url, AMY_REDIS_URL=f"redis://127.0.0.1:{port}")
        try:
            findings = clinic.doctor()[1]
        finally:
            clinic.set_variables(**redis_variables(postgres, redis))
    heavy = [one for one in findings if one["severity"] == "error"]
    assert [one["check"] for one in heavy] == ["redis-answer"], findings


@pytest.mark.root
def test_a_redis_that_is_exposed_and_forgets_jobs(clinic, postgres, redis, new_host):
    """In a network of its own, with no way to it but its socket."""
    directory = new_host().root / "r"
    make_directory(directory, 0o700, clinic.site.user)
    server = Redis(directory, clinic.site.user)
    argv = ["unshare", "--net", *as_user(clinic.site.user, [
        "redis-server", "--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no",
        "--unixsocket", server.socket, "--unixsocketperm", "700", "--dir", directory,
        "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--save", ""], "KILL")]
    with subprocess.Popen(list(map(str, argv)), stdout=subprocess.DEVNULL) as child:
        try:
            wait_for(lambda: server.socket.exists() and server.command("PING") == "+PONG", 30,
                     "Redis answers")
            clinic.set_variables(DATABASE_URL=postgres.url, AMY_REDIS_URL=server.url)
            assert clinic.heavy() == ["redis-open"]  # a cache may be evicted
            server.command("SADD", "rq:queues", "rq:queue:default")
            assert clinic.heavy() == ["redis-open", "redis-policy", "redis-volatile"]
        finally:
            child.kill()
            clinic.set_variables(**redis_variables(postgres, redis))


def test_a_database_elsewhere_with_and_without_tls(clinic, postgres, redis, session_root):
    """Elsewhere by its name: `hostaddr` leads to this host."""
    directory = session_root / "pgtls"
    make_directory(directory, 0o700, clinic.site.user)
    authority = clinic.host.authority
    authority.issue(directory, ["db.example.org"])
    for name in ("fullchain.pem", "privkey.pem"):
        (directory / name).chmod(0o600)
        os.chown(directory / name, clinic.site.user.uid, clinic.site.user.gid)
    server = Postgres(directory, clinic.site.user, {
        "listen_addresses": "127.0.0.1", "port": free_port(), "ssl": "on",
        "ssl_cert_file": directory / "fullchain.pem", "ssl_key_file": directory / "privkey.pem"})
    server.AUTHENTICATION = "trust"
    server.start()

    def ask(**words):
        words = "&".join(f"{name}={value}" for name, value in words.items())
        clinic.set_variables(AMY_REDIS_URL=redis.url, DATABASE_URL=(
            f"postgresql://{clinic.site.user.name}@db.example.org:{server.settings['port']}"
            f"/guestbook?hostaddr=127.0.0.1&{words}"))
        return clinic.heavy()

    try:
        assert ask(sslmode="disable") == ["postgres-tls"]
        assert ask(sslmode="require") == ["postgres-verify"]
        public = clinic.host.root / "db-ca.pem"
        public.write_bytes(authority.certificate.read_bytes())
        public.chmod(0o644)
        assert ask(sslmode="verify-full", sslrootcert=public) == []
    finally:
        server.stop()
        clinic.set_variables(**redis_variables(postgres, redis))


@pytest.mark.root
def test_names_lead_somewhere(clinic):
    """By a hosts file of its own, so that no name server is asked."""
    hosts = clinic.host.root / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {TINY}\n192.0.2.7 www.{TINY}\n")
    before = clinic.site.yaml.read_text()
    argv = " ".join(map(str, clinic.host.amyctl_argv(
        "doctor", "--json", "--root", clinic.etc, "--skip", "clock,disk,limits,cert")))
    try:
        clinic.site.write_yaml(before + f"aliases: [www.{TINY}]\n")
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-ec", f"mount --bind {hosts} /etc/hosts; exec {argv}"],
            env=clean_environment(**sanitizer_options()), capture_output=True, text=True,
            check=False, timeout=60)
    finally:
        clinic.site.write_yaml(before)
    findings = json.loads(done.stdout)["findings"]
    assert [(one["check"], one["severity"]) for one in findings] == [("dns-elsewhere", "info")], done
    assert f"www.{TINY} leads to 192.0.2.7" in findings[0]["what"]


@pytest.mark.root
def test_the_fronts_user_is_missing(clinic):
    before = clinic.host.settings.read_text()
    try:
        clinic.host.write_settings(user="amy-nobody-at-all")
        assert clinic.heavy() == ["user-missing"]
    finally:
        clinic.host.settings.write_text(before)


def test_a_daemon_that_did_not_become_the_new_program(new_host, django_venv):
    host = new_host()
    installed = Installed(host.root).use_for(host)
    deploy_tiny(host, TINY, django_venv)
    host.start_workers()
    host.start_front()

    def replaced():
        report = json.loads(host.amyctl("doctor", "--json", check=False).stdout)
        return [one["what"].split()[0] for one in report["findings"] if one["check"] == "socket-program"]

    assert replaced() == []
    installed.install(NEW)
    assert replaced() == ["amy-front", "amy-workers"]
    assert upgrade(host, host.front, "front")["refusal"] == ""
    assert replaced() == ["amy-workers"]


def test_daemons_and_ports(clinic):
    """Last of its module: it ends the daemons."""
    clinic.host.stop()
    assert clinic.heavy() == ["socket-daemon"]
    with socket.create_server(("127.0.0.1", clinic.host.https)):
        findings = clinic.doctor()[1]
    ports = [one for one in findings if one["check"] == "port"]
    assert len(ports) == 1 and f"listens on port {clinic.host.https}" in ports[0]["what"], findings
