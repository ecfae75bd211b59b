"""Installation: users, directories, programs; ports that are taken."""

import re

import pytest

from hosting.wait import wait_for

WANTS = "/etc/systemd/system/multi-user.target.wants"
UNITS = {"amy-front.service", "amy-workers.service", "amy-backup.service"}

HOLD = """
import signal, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
held = socket.socket(family)
held.bind((sys.argv[1], int(sys.argv[2])))
held.listen()
signal.pause()
"""


def enabled(box):
    return {link.name for link in box.path(WANTS).glob("amy-*")}


def mode_and_owner(box, path):
    return box.run("stat", "--format=%a %U %G", path).split()


def test_apt_finds_all_that_a_host_needs_by_one_pattern(box, packages):
    directory = box.bring(*packages.directory.glob("*.deb"))
    box.shell('cd "$1" && apt-get install -y --no-install-recommends ./amy*.deb', directory)
    listed = box.run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", "*amy*")
    assert {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")} >= {"amy", "libamy0"}
    assert "libamy-dev installed" not in listed and "dbgsym" not in listed


def test_users_are_made_and_nobody_can_be_them(box, packages):
    box.install(*packages.host)
    _, _, uid, gid, _, home, shell = box.run("getent", "passwd", "amy").strip().split(":")
    assert (home, shell) == ("/nonexistent", "/usr/sbin/nologin")
    assert box.run("id", "--groups", "--name", "amy").split() == ["amy"]
    assert 0 < int(uid) < 1000 and 0 < int(gid) < 1000
    assert box.run("getent", "shadow", "amy").split(":")[1].startswith("!")
    assert box.run("getent", "group", "amy-admin").strip().endswith(":")


def test_an_account_of_a_person_is_not_taken(box, packages):
    box.shell("useradd --shell /bin/bash amy")
    directory = box.bring(*packages.host)
    code, said = box.run("dpkg", "-i", *[f"{directory}/{deb.name}" for deb in packages.host], check=False)
    assert code != 0 and "somebody can log in with" in said and "/bin/bash" in said
    assert not box.path("/usr/sbin/amy-front").exists() and not box.path("/usr/bin/amy-front").exists()
    box.shell("usermod --shell /usr/sbin/nologin amy; groupadd amy-admin; gpasswd --add amy amy-admin")
    assert "amyctl on every site: amy" in box.install(*packages.host)


def test_directories_are_made_as_the_daemons_expect_them(box, packages):
    box.install(*packages.host)
    for path in ("/webapps", "/run/amy", "/var/lib/amy", "/etc/amy"):
        assert mode_and_owner(box, path) == ["755", "root", "root"]


def test_webapps_that_is_there_keeps_its_mode(box, packages):
    box.shell("mkdir -m 751 /webapps && chgrp daemon /webapps")
    box.install(*packages.host)
    assert mode_and_owner(box, "/webapps") == ["751", "root", "daemon"]


def test_free_ports_enable_all(box, packages):
    said = box.install(*packages.host)
    assert enabled(box) == UNITS
    assert "taken" not in said


@pytest.mark.parametrize("address, port", [("0.0.0.0", 80), ("::", 443), ("127.0.0.1", 443)])
def test_a_taken_port_enables_nothing_and_names_who_has_it(box, packages, address, port):
    other = box.start("/usr/bin/python3", "-c", HOLD, address, port)
    wait_for_listener(box, port)
    said = box.install(*packages.host)
    assert enabled(box) == set()
    assert re.search(rf"^amy: port {port} is taken by python3 \(process \d+", said, re.M)
    assert other.poll() is None


def test_a_host_with_nginx_is_told_how_to_switch_over_and_back(box, packages):
    box.write("/etc/nginx/nginx.conf", "events {}\nhttp { server { listen 80; return 204; } }\n")
    box.start("nginx", "-g", "daemon off;")
    box.wait_listening(80)
    said = box.install(*packages.host)
    (nginx,) = re.findall(r"^amy: port 80 is taken by nginx \(process (\d+)", said, re.M)
    assert int(nginx) == min(box.pids("nginx"))
    for command in ("systemctl enable --now amy-workers amy-backup", "systemctl enable --now amy-front",
                    "amy-front --check", "systemctl disable --now amy-front"):
        assert command in said
    assert enabled(box) == set() and not box.pids("amy-front")


def test_a_port_of_a_client_is_not_taken(box, packages):
    """Who is connected from port 80 listens on nothing."""
    box.start("/usr/bin/python3", "-c", HOLD, "127.0.0.1", 8080)
    wait_for_listener(box, 8080)
    client = ("import socket, signal; s = socket.create_connection(('127.0.0.1', 8080), source_address=('127.0.0.1', 80));"
              "open('/tmp/connected', 'w').close(); signal.pause()")
    box.start("/usr/bin/python3", "-c", client)
    wait_for_file(box, "/tmp/connected")
    assert "taken" not in box.install(*packages.host)


def test_the_module_is_there_for_the_systems_interpreter(box, packages):
    box.install(packages["libamy0"], packages["python3-amy"])
    program = "import amy.gate, amy.backup, amy.redis, amy.status, amy._native; print(amy.__file__)"
    said = box.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                   "/usr/bin/python3", "-B", "-c", program)
    assert said == "/usr/lib/python3/dist-packages/amy/__init__.py\n"


def test_an_example_is_built_as_its_first_lines_say(box, packages):
    box.install(packages["libamy0"], packages["libamy-dev"])
    box.shell("cd /tmp && cc -Wall -Werror -o gate /usr/share/doc/libamy-dev/examples/gate.c"
              " $(pkg-config --cflags --libs amy libevent_core) && ldd gate | grep -q '/libamy.so.0.1 '")


def wait_for_listener(box, port):
    wait_for(lambda: f":{port} " in box.run("ss", "--no-header", "-ltn"), 30, f"a listener on {port}")


def wait_for_file(box, path):
    wait_for(box.path(path).exists, 30, path)
