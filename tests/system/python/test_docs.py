"""Every example in the pages about Python runs as it stands."""

import re

import pytest
from amy import control
from backups import DOMAIN, Shop, trusting_server
from hosting.site import TOP

PAGES = ("docs/api/python.md", "bindings/python/README.md")


def examples():
    for page in PAGES:
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", (TOP / page).read_text(), re.M | re.S)):
            yield pytest.param(block, id=f"{page}-{number}")


@pytest.fixture(scope="module")
def host(host_for_module, session_root, django_venv):
    """The site of the examples, served and backed up once."""
    for postgres in trusting_server(session_root / "pgdocs"):
        shop = Shop(host_for_module, postgres, django_venv)
        host_for_module.start_front()
        host_for_module.start_backup()
        shop.ask("dump")
        yield host_for_module


@pytest.mark.parametrize("block", examples())
def test_example(host, redis, monkeypatch, block, capsys):
    monkeypatch.setattr(control, "RUN_DIRECTORY", host.run)
    here = block.replace("nowhere.example.org", "nowhere.localhost").replace("example.org", DOMAIN)
    here = here.replace('"/webapps/', f'"{host.webapps}/')
    here = here.replace("redis://localhost:6379/0", redis.url)
    exec(compile(here, "example", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert printed or "print" not in here
