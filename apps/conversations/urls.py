"""Paths of this room."""

from django.urls import URLPattern, URLResolver, path

from .views import filtering

app_name = "conversations"

urlpatterns: list[URLPattern | URLResolver] = [
    path("filters/row/", filtering.filter_row, name="filter_row"),
    path("filters/edit/", filtering.filter_edit, name="filter_edit"),
]
