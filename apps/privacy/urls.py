"""URLs of erasure, next to those of the pages that link to it."""

from django.urls import URLPattern, URLResolver, path

from . import views

app_name = "erasing"

urlpatterns: list[URLPattern | URLResolver] = [
    path("conversations/erase/", views.selected, name="selected"),
    path("conversations/<slug:conv_id>/erase/", views.conversation, name="conversation"),
    path("agents/<slug:agent_id>/retention/", views.retention, name="retention"),
]
