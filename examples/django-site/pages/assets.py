"""Where static files are, and how a release knows which of them it means."""

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
