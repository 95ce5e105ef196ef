"""Paths of ending a conversation by hand. They stand beside the page that it is asked for on."""

from django.urls import URLPattern, URLResolver, path

from .views import closing

app_name = "lifecycle"

urlpatterns: list[URLPattern | URLResolver] = [
    path("conversations/<slug:conv_id>/close/", closing.close, name="close"),
]
