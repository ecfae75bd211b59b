"""One view for each thing that a host must carry: a database, a queue, a large
body, an answer in pieces, an answer that takes its time."""

import hashlib
import os
import time
from datetime import timedelta

import django_rq
from django.http import Http404, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe
from rq.exceptions import NoSuchJobError
from rq.job import Job

from pages.forms import EntryForm, JobForm, SlowForm, UploadForm
from pages.jobs import count_primes
from pages.models import Entry
from pages.uploads import file_response, keep, link_token

FORM_METHODS = ["GET", "HEAD", "POST"]
STREAM_LINES_MAX = 100_000
STREAM_GAP_MAX_MS = 10_000


@require_http_methods(FORM_METHODS)
def guest_book(request):
    form = EntryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("guest-book")
    return render(
        request, "pages/guest_book.html", {"form": form, "entries": Entry.objects.all()[:50]}
    )


@require_http_methods(FORM_METHODS)
def jobs(request):
    form = JobForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        limit = form.cleaned_data["limit"]
        if form.cleaned_data["later"]:
            scheduler = django_rq.get_scheduler("default")
            made = scheduler.enqueue_in(timedelta(seconds=5), count_primes, limit)
        else:
            made = django_rq.get_queue("default").enqueue(count_primes, limit)
        return redirect("job", job_id=made.id)
    return render(request, "pages/jobs.html", {"form": form})


def fetch_job(job_id):
    """What is known of a job, ready for a page or for JSON."""
    try:
        found = Job.fetch(str(job_id), connection=django_rq.get_connection("default"))
    except NoSuchJobError:
        raise Http404("no such job") from None
    status = found.get_status()
    state = getattr(status, "value", None) or status or "waiting"
    return {
        "id": found.id,
        "call": found.get_call_string(),
        "state": state,
        "done": state in {"finished", "failed", "canceled", "stopped"},
        "result": found.return_value() if state == "finished" else None,
    }


@require_safe
def job(request, job_id):
    return render(request, "pages/job.html", {"job": fetch_job(job_id)})


@require_safe
def job_state(request, job_id):
    response = JsonResponse(fetch_job(job_id))
    response["Cache-Control"] = "no-store"
    return response


@require_http_methods(FORM_METHODS)
def upload(request):
    form = UploadForm(request.POST or None, request.FILES or None)
    received = None
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        digest = hashlib.sha256()
        for chunk in file.chunks():
            digest.update(chunk)
        received = {"name": file.name, "size": file.size, "sha256": digest.hexdigest()}
        keep(file, received["sha256"])
        received["token"] = link_token(received["sha256"], file.name)
    return render(request, "pages/upload.html", {"form": form, "received": received})


@require_safe
def download(_request, token):
    return file_response(token)


def number(request, name, default, most):
    """A number of the query, held between 0 and `most`."""
    try:
        value = int(request.GET.get(name, default))
    except ValueError:
        value = default
    return max(0, min(value, most))


def pieces(request):
    """Yields (index, seconds since the start) with the gap asked for."""
    lines = number(request, "lines", 10, STREAM_LINES_MAX)
    gap_ms = number(request, "gap_ms", 300, STREAM_GAP_MAX_MS)
    began = time.monotonic()
    for index in range(1, lines + 1):
        yield index, time.monotonic() - began
        if gap_ms and index < lines:
            time.sleep(gap_ms / 1000)


@require_safe
def stream(request):
    """A page that fills while it is looked at, without any script."""
    head, foot = render_to_string("pages/stream.html", request=request).split("<!--lines-->")

    def body():
        yield head
        for index, seconds in pieces(request):
            yield f"<li>Line {index}, sent after {seconds:.1f} s</li>\n"
        yield foot

    return StreamingHttpResponse(body())


@require_safe
def stream_lines(request):
    """The same as plain text, for curl -N and for tests."""
    body = (f"{index} {seconds:.3f}\n" for index, seconds in pieces(request))
    return StreamingHttpResponse(body, content_type="text/plain; charset=utf-8")


@require_safe
def slow(request):
    form = SlowForm(request.GET if "s" in request.GET else None)
    slept = None
    if form.is_bound and form.is_valid():
        slept = form.cleaned_data["s"]
        time.sleep(slept)
    return render(request, "pages/slow.html", {"form": form, "slept": slept})


@csrf_exempt
def request_seen(request):
    """What reaches the application: which process, from whom, how. JSON for
    those who ask for it and for every method but GET."""
    headers = {name: value for name, value in request.headers.items() if name != "Cookie"}
    digest = hashlib.sha256()
    size = 0
    while piece := request.read(65536):
        size += len(piece)
        digest.update(piece)
    seen = {
        "pid": os.getpid(),
        "method": request.method,
        "scheme": request.scheme,
        "host": request.get_host(),
        "path": request.get_full_path(),
        "remote_addr": request.META.get("REMOTE_ADDR", ""),
        "body_bytes": size,
        "body_sha256": digest.hexdigest(),
        "headers": headers,
    }
    if request.method == "GET" and request.accepts("text/html"):
        return render(request, "pages/request.html", {"seen": seen})
    return JsonResponse(seen)
