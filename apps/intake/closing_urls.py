"""Paths of ending a conversation by hand and of its recording, beside the page that shows it."""

from django.urls import URLPattern, URLResolver, path

from .views import closing, recordings

app_name = "lifecycle"

urlpatterns: list[URLPattern | URLResolver] = [
    path("conversations/<slug:conv_id>/close/", closing.close, name="close"),
    path("conversations/<slug:conv_id>/recording/", recordings.recording, name="recording"),
]
