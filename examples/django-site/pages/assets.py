"""Where static files are, and how a release knows which of them it means."""

import gzip
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.files.storage import FileSystemStorage


class SharedStaticFiles(ManifestStaticFilesStorage):
    """All releases collect into STATIC_ROOT, where names carry their hash and
    nothing is in another's way: a page of the release before finds its files for
    as long as somebody looks at it. The manifest is the release's own."""

    def __init__(self, *args, **options):
        manifest = FileSystemStorage(location=settings.BASE_DIR / "staticfiles")
        super().__init__(*args, manifest_storage=manifest, **options)

    def post_process(self, paths, dry_run=False, **options):
        """What gains by it lies compressed beside the original: amy-front sends that
        to browsers, and nobody's time goes into it."""
        for original, hashed, processed in super().post_process(paths, dry_run, **options):
            if not dry_run and hashed and hashed.endswith((".css", ".js", ".svg")):
                plain = Path(self.path(hashed))
                Path(f"{plain}.gz").write_bytes(gzip.compress(plain.read_bytes()))
            yield original, hashed, processed
