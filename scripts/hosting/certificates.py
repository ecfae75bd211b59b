"""A tiny certificate authority, for a demo or a test and for nothing else."""

import os
import subprocess
from pathlib import Path

from hosting.users import clean_environment

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


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

    def issue(self, directory, names, days=90):
        """fullchain.pem and privkey.pem for `names` into `directory`, as
        certbot's live/{domain}: each file replaced by rename."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        key = directory / "privkey.new"
        request = openssl("req", "-new", *CURVE, "-subj", f"/CN={names[0][:64]}", "-keyout", key)
        key.chmod(0o600)
        extensions = directory / "extensions.tmp"
        extensions.write_text(
            "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
            + "\nextendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n"
        )
        chain = openssl("x509", "-req", "-days", days, "-CA", self.certificate, "-CAkey", self.key,
                        "-set_serial", f"0x{os.urandom(8).hex()}", "-extfile", extensions,
                        data=request)
        extensions.unlink()
        new_chain = directory / "fullchain.new"
        new_chain.write_bytes(chain + self.certificate.read_bytes())
        new_chain.rename(directory / "fullchain.pem")
        key.rename(directory / "privkey.pem")


def public_key_pin(certificate):
    """Base64 of SHA-256 over the SubjectPublicKeyInfo, as Chromium wants it."""
    public = openssl("x509", "-in", certificate, "-noout", "-pubkey")
    der = openssl("pkey", "-pubin", "-outform", "der", data=public)
    digest = openssl("dgst", "-sha256", "-binary", data=der)
    return openssl("base64", "-A", data=digest).decode().strip()
