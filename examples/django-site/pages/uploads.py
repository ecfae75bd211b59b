"""Files that visitors sent, kept for an hour and given to who has the link."""

import os
import tempfile
import time

from django.conf import settings
from django.core import signing
from django.http import Http404, HttpResponse
from django.utils.http import content_disposition_header

KEPT_S = 3600
SALT = "upload"


def keep(file, digest):
    """Its name is its digest, so that the same file is kept once."""
    settings.MEDIA_ROOT.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=settings.MEDIA_ROOT, prefix=".", delete=False) as new:
        for chunk in file.chunks():
            new.write(chunk)
        os.fchmod(new.fileno(), 0o640)
    os.replace(new.name, settings.MEDIA_ROOT / digest)
    for other in settings.MEDIA_ROOT.iterdir():
        if other.stat().st_mtime < time.time() - KEPT_S:
            other.unlink(missing_ok=True)


def link_token(digest, name):
    return signing.dumps([digest, name], salt=SALT)


def file_response(token):
    """The application says who may have it, and amy-front sends it: the worker
    is free at once."""
    try:
        digest, name = signing.loads(token, salt=SALT, max_age=KEPT_S)
    except signing.BadSignature:
        raise Http404("no such link") from None
    return HttpResponse(
        content_type="application/octet-stream",
        headers={
            "X-Accel-Redirect": f"/private/{digest}",
            "Content-Disposition": content_disposition_header(True, name),
        },
    )
