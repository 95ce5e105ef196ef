"""Paths of this room."""

from django.urls import URLPattern, URLResolver, path

from .views import asking, banner, changing, runs

app_name = "runs"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", runs.run_list, name="list"),
    path("new/", asking.new, name="new"),
    path("preview/", asking.preview, name="preview"),
    path("actions/", asking.actions, name="actions"),
    path("banner/", banner.banner, name="banner"),
    path("<str:public_id>/", runs.detail, name="detail"),
    path("<str:public_id>/progress/", runs.progress, name="progress"),
    path("<str:public_id>/pause/", changing.pause, name="pause"),
    path("<str:public_id>/resume/", changing.resume, name="resume"),
    path("<str:public_id>/cancel/", changing.cancel, name="cancel"),
    path("<str:public_id>/retry-failed/", changing.retry_failed, name="retry_failed"),
]
