"""certbot's layout: live/NAME/*.pem are links to archive/NAME/*N.pem, replaced
one behind the other, in certbot's order."""

import os
import tempfile
from pathlib import Path

ORDER = ("cert.pem", "privkey.pem", "chain.pem", "fullchain.pem")


class Lineage:
    def __init__(self, host, name, live=None):
        self.authority = host.authority
        self.live = Path(live or host.certificates) / name
        self.archive = host.root / "archive" / name
        self.number = 0

    def file(self, name):
        return self.live / name

    def renew(self, names, **options):
        """A new pair in archive/, and then the links."""
        self.prepare(names, **options)
        self.link_all()

    def link_all(self):
        for name in ORDER:
            self.link(name)

    def prepare(self, names, **options):
        """The new files alone."""
        self.number += 1
        self.archive.mkdir(parents=True, exist_ok=True)
        self.archive.chmod(0o700)
        with tempfile.TemporaryDirectory() as work:
            self.authority.issue(work, names, **options)
            chain = (Path(work) / "fullchain.pem").read_text()
            self._write("privkey.pem", (Path(work) / "privkey.pem").read_text())
        leaf, marker, rest = chain.partition("-----END CERTIFICATE-----\n")
        self._write("cert.pem", leaf + marker)
        self._write("chain.pem", rest)
        self._write("fullchain.pem", chain)

    def _write(self, name, text):
        path = self.target(name)
        path.write_text(text)
        path.chmod(0o600 if name == "privkey.pem" else 0o644)

    def target(self, name):
        return self.archive / f"{name.removesuffix('.pem')}{self.number}.pem"

    def link(self, name):
        self.live.mkdir(parents=True, exist_ok=True)
        self.file(name).unlink(missing_ok=True)
        os.symlink(os.path.relpath(self.target(name), self.live), self.file(name))
