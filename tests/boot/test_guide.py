"""The guide, followed by somebody who has nothing else, on an empty Debian 12:
its pages' own commands from top to bottom, and what they print."""

import re
import time

from hosting.pages import blocks_of, matches
from hosting.site import TOP
from hosting.wait import wait_for
from support import DOMAIN, Packages, Server

GUIDE = TOP / "docs/guide"
FIRST_COMMANDS, FIRST_S = 5, 120
SOON_S = 60


def steps_of(page):
    """(what is typed, what the page says that it prints or None) of each."""
    steps = []
    for block in blocks_of(page.name, page.read_text()):
        if block.tag == "sh":
            steps.append((block, None))
        elif block.tag == "output":
            steps[-1] = (steps[-1][0], block)
    return steps


# Between two blocks a shell would have kept where it was, and what it knew.
SHELL = """\
[ ! -e ~/.left ] || . ~/.left
trap 'declare -p | grep -Ev "^declare -[a-zA-Z]*r" >~/.left; printf "cd %q\\n" "$PWD" >>~/.left' EXIT
set -e
"""


class Person:
    """Somebody at a terminal of the machine."""

    def __init__(self, machine):
        self.machine = machine
        self.typed = 0

    def type(self, block, output):
        done = self.machine.run(f"cd; {SHELL}{block.text}", check=False, timeout_s=600)
        printed = done.stdout + done.stderr
        self.typed += len(commands_in(block.text))
        if (done.returncode != 0) != (block.rest == "fails"):
            raise AssertionError(f"{block.place}: exit {done.returncode}\n{block.text}{printed}")
        if output is not None and not matches(output.text, printed):
            raise AssertionError(f"{output.place}: printed was\n{printed}\nand not\n{output.text}")


def commands_in(text):
    return [line for line in text.replace("\\\n", " ").splitlines()
            if line.strip() and not line.lstrip().startswith("#")]


def test_the_guide_alone_leads_from_an_empty_machine_to_releases_and_back(empty_machine, packages):
    machine = empty_machine
    server = Server(machine)
    Packages.put(machine, packages.this)
    machine.run("apt-get update -q")
    person = Person(machine)

    # The first site, to the moment at which it is on HTTPS.
    steps = steps_of(GUIDE / "first-site.md")
    began = time.monotonic()
    while not serves(server):
        assert steps, "the page ends and the site is not on HTTPS"
        person.type(*steps.pop(0))
    took = time.monotonic() - began
    print(f"\nfrom apt install to the example site on HTTPS: {person.typed} commands, {took:.0f} s")
    assert person.typed <= FIRST_COMMANDS
    for step in steps:
        person.type(*step)
    assert "Second edition" not in server.get().text
    first = release(server)

    # A second release, a broken third, and back.
    seen = []
    for step in steps_of(GUIDE / "deploying.md"):
        person.type(*step)
        expect_it_serves(server)
        if release(server) not in {first, *seen}:
            seen.append(release(server))
            assert "Second edition" in server.get().text
        if step[0].rest == "fails":
            assert seen == [release(server)], "the second goes on"
        if "rollback" in step[0].text:
            assert release(server) == first, "the one before serves again"
    assert len(seen) == 2 and release(server) == seen[-1], "the mended one serves"

    # A backup is restored.
    for step in steps_of(GUIDE / "restoring.md"):
        person.type(*step)
    expect_it_serves(server)
    assert rows(server, "example_restored") == rows(server, "example")

    # Everything serves after a reboot.
    now = release(server)
    machine.reboot()
    server.wait_until_it_serves()
    assert release(server) == now and "Second edition" in server.get().text
    wait_for(lambda: machine.run("amyctl status example.org", check=False).returncode == 0, SOON_S,
             "status is good")
    # Tenfold: others need this machine's processors as well.
    assert took < 10 * FIRST_S, f"{took:.0f} s"


def serves(server):
    try:
        return server.serves()
    except OSError:
        return False


def expect_it_serves(server):
    assert server.serves(), f"https://{DOMAIN}/ does not serve"


def release(server):
    return re.search(r'id="release">([^<]+)<', server.get().text)[1]


def rows(server, database):
    return server.query("SELECT count(*) FROM pages_entry", database)

