"""The URL that ends a conversation, next to that of its page."""

from django.urls import URLPattern, URLResolver, path

from . import views

app_name = "lifecycle"

urlpatterns: list[URLPattern | URLResolver] = [
    path("conversations/<slug:conv_id>/close/", views.close, name="close"),
]
