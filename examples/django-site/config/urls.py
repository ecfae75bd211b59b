"""Every address of the site."""

from django.urls import path

from pages import views

urlpatterns = [
    path("", views.guest_book, name="guest-book"),
    path("jobs/", views.jobs, name="jobs"),
    path("jobs/<uuid:job_id>/", views.job, name="job"),
    path("jobs/<uuid:job_id>.json", views.job_state, name="job-state"),
    path("upload/", views.upload, name="upload"),
    path("upload/<str:token>/", views.download, name="download"),
    path("stream/", views.stream, name="stream"),
    path("stream/lines", views.stream_lines, name="stream-lines"),
    path("slow/", views.slow, name="slow"),
    path("request/", views.request_seen, name="request"),
]
