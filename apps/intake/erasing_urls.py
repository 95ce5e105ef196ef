"""Paths of erasing. They stand beside the pages that they are asked for on."""

from django.urls import URLPattern, URLResolver, path

from .views import erasing

app_name = "erasing"

urlpatterns: list[URLPattern | URLResolver] = [
    path("conversations/erase/", erasing.selected, name="selected"),
    path("conversations/<slug:conv_id>/erase/", erasing.conversation, name="conversation"),
    path("agents/<slug:agent_id>/retention/", erasing.retention, name="retention"),
]
