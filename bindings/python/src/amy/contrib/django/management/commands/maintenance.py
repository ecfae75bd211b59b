"""manage.py maintenance on|off|status."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from amy import Code, Error, gate
from amy.contrib.django import conf


class Command(BaseCommand):
    """Closes or opens the site by way of amy-front, as amyctl does: root, group
    amy-admin and the site's user may."""

    help = "Close the site for maintenance, open it, or tell which it is."
    # It must work while the rest of the site does not.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """One word, and for whom."""
        parser.add_argument("action", choices=("on", "off", "status"))
        parser.add_argument("--site", help="another site than this one")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say what is so now."""
        site = options["site"] or conf.site()
        if not site:
            raise CommandError("which site? There is no site.yaml above BASE_DIR: use --site, or "
                               'AMY = {"SITE": ...} in the settings')
        try:
            self.stdout.write(self._do(options["action"], site))
        except Error as error:
            raise CommandError(_explain(site, error)) from error

    def _do(self, action: str, site: str) -> str:
        run = conf.run_directory()
        if action == "on":
            gate.close(site, run_directory=run)
            return f"{site} is closed for maintenance"
        if action == "off":
            gate.open(site, run_directory=run)
            return f"{site} is open"
        state = gate.state(site, run_directory=run)
        since = f" since {state.since:%Y-%m-%d %H:%M:%S} UTC" if state.since else ""
        by = f" by {state.by}" if state.by else ""
        warning = f"\nwarning: {state.warning}" if state.warning else ""
        return f"{site} is {'closed' if state.closed else 'open'}{since}{by}{warning}"


def _explain(site: str, error: Error) -> str:
    if error.code is Code.ECONN or (error.code is Code.ENOTFOUND and error.errno):
        return f"amy-front does not run: {error.message}"
    return f"{site}: {error.message}"
