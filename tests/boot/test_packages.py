"""The packages on a booted Debian 12: what installing, upgrading, downgrading
and purging do to it, and to a site that serves meanwhile."""

import re

from hosting.load import TlsLoad
from hosting.packages import field
from hosting.wait import wait_for
from support import DOMAIN, UNITS, install, lay_out, pids_of, Server, SERVES_S

# What apt and dpkg keep for themselves, and what others have written meanwhile.
OTHERS = re.compile(r"/(var/(lib/(dpkg|apt|systemd|postgresql|redis|ucf|logrotate)|cache|log|tmp)|root|tmp|example\.org\.secret"
                    r"|run|etc/(ld\.so\.cache|passwd-?|g?shadow-?|group-?|\.pwd\.lock|subuid-?|subgid-?)"
                    r"|usr/share/info)(/|$)")


def files_of(machine):
    told = machine.run("find / -xdev -path /proc -prune -o -path /sys -prune -o -path /dev -prune "
                       "-o -print").stdout
    return {path for path in told.splitlines() if not OTHERS.match(path)}


def listeners(machine):
    told = machine.run("ss -H -l -t -n -p").stdout
    return {int(line.split()[3].rpartition(":")[2]): line for line in told.splitlines()}


def test_the_packages_install_on_an_empty_machine_and_start(empty_machine, packages):
    machine = empty_machine
    install(machine, *packages.put(machine, packages.this))
    for unit in UNITS:
        assert machine.show(unit, "ActiveState") == "active", machine.journal("--unit", unit)
        assert machine.run(f"systemctl is-enabled {unit}").stdout.strip() == "enabled"
    assert {80, 443} <= set(listeners(machine))
    assert all("amy-front" in line for line in listeners(machine).values()), listeners(machine)
    assert machine.run("systemctl is-system-running").stdout.strip() == "running"
    for path, mode in {"/run/amy": "755 root root", "/var/lib/amy": "755 root root",
                       "/webapps": "755 root root", "/etc/amy": "755 root root"}.items():
        assert machine.run(f"stat -c '%a %U %G' {path}").stdout.strip() == mode, path
    assert machine.run("amyctl status").returncode == 0
    assert "amy-admin" in machine.run("getent group amy-admin").stdout
    assert field(packages.this[0], "Version") in machine.run("amy-front --version").stdout


def test_a_purge_leaves_nothing_but_webapps(services_machine, packages):
    machine = services_machine
    before = files_of(machine)
    names = [field(deb, "Package") for deb in packages.this]
    install(machine, *packages.put(machine, packages.this))
    lay_out(machine)
    server = Server(machine)
    server.wait_until_it_serves()
    server.wait_until_whole()
    machine.run("tar -C /webapps -cf /root/webapps.tar --exclude=logs --exclude=DB_backups .")
    machine.run(f"apt-get purge -q -y {' '.join(names)} && apt-get autoremove --purge -q -y",
                timeout_s=300)
    # Certbot's things are certbot's; the front's user stays, who owns uploads.
    left = {path for path in files_of(machine) - before
            if not re.match(r"/(webapps|etc/letsencrypt|var/lib/letsencrypt)(/|$)", path)}
    assert not left, sorted(left)
    machine.run("tar -C /webapps -df /root/webapps.tar")
    for directory in ("/run/amy", "/var/lib/amy", "/etc/amy"):
        assert machine.run(f"test -e {directory}", check=False).returncode != 0, directory
    assert not pids_of(server, "amy-|gunicorn|manage.py")
    assert not {80, 443} & set(listeners(machine))
    assert machine.run("systemctl is-system-running").stdout.strip() == "running"
    # And it all comes back.
    install(machine, *packages.put(machine, packages.this))
    server.wait_until_it_serves()


def change_under_load(server, debs):
    """The packages become those of `debs` while visitors come; what they met."""
    server.wait_until_whole()
    before = {unit: server.machine.main_pid(unit) for unit in ("amy-front", "amy-workers")}
    workers = pids_of(server, "gunicorn")
    with TlsLoad(server, DOMAIN, "/healthz", connections=4) as load:
        wait_for(lambda: load.report.answered > 50, SERVES_S, "visitors are served")
        install(server.machine, *server.put(debs))
        wait_for(lambda: are_as_installed(server), SERVES_S, "the other version serves")
        seen = load.report.answered
        wait_for(lambda: load.report.answered > seen + 50, SERVES_S, "visitors are served")
        report = load.stop()
    assert not report.lost and set(report.by_status) == {200}, str(report)
    for unit, pid in before.items():
        assert server.machine.main_pid(unit) == pid, f"{unit} is the same process"
        assert server.machine.show(unit, "ActiveState") == "active"
        assert server.machine.show(unit, "NRestarts") == "0"
    assert pids_of(server, "gunicorn") == workers, "the workers have not noticed"
    wait_for(server.backup_is_ready, SERVES_S, "amy-backup is the other version")
    server.wait_until_whole()
    return report


def are_as_installed(server):
    """Each main process runs the file that is on the disk, not one that was."""
    return not any(
        server.run(f"readlink /proc/{server.machine.main_pid(unit)}/exe", check=False).stdout.strip()
        != f"/usr/bin/{unit}" for unit in UNITS)


def test_upgrade_and_downgrade_under_load(server, packages):
    there = change_under_load(server, packages.next)
    back = change_under_load(server, packages.this)
    print(f"upgrade: {there}\ndowngrade: {back}")
    server.machine.reboot()
    server.wait_until_it_serves()


def test_where_nginx_has_the_ports_nothing_starts_and_the_message_works(services_machine, packages):
    machine = services_machine
    install(machine, "nginx-light")
    assert 80 in listeners(machine)
    told = install(machine, *packages.put(machine, packages.this))
    assert "port 80 is taken by nginx" in told, told
    for unit in UNITS:
        assert machine.show(unit, "ActiveState") == "inactive"
        assert machine.run(f"systemctl is-enabled {unit}", check=False).stdout.strip() == "disabled"
    machine.reboot()
    assert "nginx" in listeners(machine)[80]
    # The site is laid out, with a certificate through nginx as ever; then by the message.
    before, switch, back = commands_of(told)
    lay_out(machine, webroot="/var/www/html", reload=False)
    for command in before.splitlines():
        machine.run(command, check="--check" not in command)
    machine.run(switch)
    server = Server(machine)
    server.wait_until_it_serves()
    server.wait_until_whole()
    assert machine.run("systemctl is-enabled nginx", check=False).stdout.strip() == "disabled"
    machine.reboot()
    server.wait_until_it_serves()
    machine.run(back)
    assert "nginx" in listeners(machine)[80] and 443 not in listeners(machine)


def commands_of(message):
    """The three blocks of what is to be typed: by their depth."""
    blocks = re.findall(r"(?:^ {9}\S.*\n)+", message, re.M)
    assert len(blocks) == 3, message
    return [re.sub(r"^ +", "", block, flags=re.M) for block in blocks]
