"""Paths of this room."""

from django.urls import URLPattern, URLResolver

app_name = "backfills"

urlpatterns: list[URLPattern | URLResolver] = []
