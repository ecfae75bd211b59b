"""A tiny certificate authority, for a demo or a test and for nothing else."""

import subprocess
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hosting.users import clean_environment

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
RSA = ["-newkey", "rsa:2048", "-nodes"]

# openssl x509 signs from now on only; openssl ca asks for a place of its own.
CA_SETTINGS = """\
[ca]
default_ca = here
[here]
database = {work}/index
new_certs_dir = {work}
default_md = sha256
policy = any
unique_subject = no
rand_serial = yes
[any]
commonName = supplied
[extensions]
subjectAltName = {names}
extendedKeyUsage = serverAuth
basicConstraints = critical,CA:FALSE
"""


def openssl(*argv, data=None):
    done = subprocess.run(
        ["openssl", *map(str, argv)], input=data, capture_output=True, check=False,
        env=clean_environment(),
    )
    if done.returncode != 0:
        raise RuntimeError(f"openssl {argv[0]}: {done.stderr.decode()}")
    return done.stdout


class Authority:
    """`directory`/ca.pem and ca.key, made when they are missing."""

    def __init__(self, directory):
        self.certificate = Path(directory) / "ca.pem"
        self.key = Path(directory) / "ca.key"
        if not self.certificate.exists() or not self.key.exists():
            openssl("req", "-x509", *CURVE, "-days", 3650, "-subj", "/CN=amy demo CA",
                    "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                    "-keyout", self.key, "-out", self.certificate)
            self.key.chmod(0o600)

    def issue(self, directory, names, days=90, new_key=CURVE, since_days=0):
        """fullchain.pem and privkey.pem for `names` into `directory`, as
        certbot's live/{domain}: each file replaced by rename. Valid from
        `since_days` ago on for `days`."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        key = directory / "privkey.new"
        request = openssl("req", "-new", *new_key, "-subj", f"/CN={names[0][:64]}", "-keyout", key)
        key.chmod(0o600)
        begin = datetime.now(timezone.utc) - timedelta(days=since_days, minutes=1)
        chain = self._sign(request, names, begin, begin + timedelta(days=days))
        new_chain = directory / "fullchain.new"
        new_chain.write_bytes(chain + self.certificate.read_bytes())
        new_chain.rename(directory / "fullchain.pem")
        key.rename(directory / "privkey.pem")

    def _sign(self, request, names, begin, end):
        with tempfile.TemporaryDirectory() as work:
            (Path(work) / "index").touch()
            settings = Path(work) / "settings"
            settings.write_text(CA_SETTINGS.format(
                work=work, names=",".join(f"DNS:{name}" for name in names)))
            return openssl(
                "ca", "-batch", "-notext", "-config", settings, "-extensions", "extensions",
                "-cert", self.certificate, "-keyfile", self.key, "-in", "/dev/stdin",
                "-startdate", f"{begin:%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}",
                data=request)


def public_key_pin(certificate):
    """Base64 of SHA-256 over the SubjectPublicKeyInfo, as Chromium wants it."""
    public = openssl("x509", "-in", certificate, "-noout", "-pubkey")
    der = openssl("pkey", "-pubin", "-outform", "der", data=public)
    digest = openssl("dgst", "-sha256", "-binary", data=der)
    return openssl("base64", "-A", data=digest).decode().strip()
