"""Which release answers: shown on each page, and to programs in a field."""

from django.conf import settings


class ReleaseMiddleware:
    """X-Release on every answer."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        if settings.RELEASE:
            response["X-Release"] = settings.RELEASE
        return response


def release(_request):
    """`release` for the templates."""
    return {"release": settings.RELEASE}
