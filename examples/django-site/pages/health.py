"""/healthz: can this process reach its database and Redis?"""

import django_rq
from django.db import connection
from django.http import JsonResponse

PATH = "/healthz"


def check_database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def check_redis():
    django_rq.get_connection("default").ping()


CHECKS = {"database": check_database, "redis": check_redis}


def report():
    """Each check's outcome: "ok", or the kind of its error and no more, since
    anybody may read this page."""
    outcome = {}
    for name, check in CHECKS.items():
        try:
            check()
            outcome[name] = "ok"
        except Exception as error:  # whatever it is, the answer must come
            outcome[name] = type(error).__name__
    return outcome


class HealthMiddleware:
    """Answers PATH before Django looks at the Host field."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.path_info != PATH:
            return self.get_response(request)
        outcome = report()
        healthy = all(state == "ok" for state in outcome.values())
        response = JsonResponse(
            {"healthy": healthy, **outcome}, status=200 if healthy else 503
        )
        response["Cache-Control"] = "no-store"
        return response
