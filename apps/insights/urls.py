"""URLs of costs."""

from django.urls import URLPattern, URLResolver, path

from . import views

app_name = "insights"

urlpatterns: list[URLPattern | URLResolver] = [
    path("costs/", views.costs, name="costs"),
    path("costs/export/", views.costs_csv, name="costs_csv"),
    path("costs/conversations/", views.conversations, name="conversations"),
    path("costs/savings/<slug:agent_id>/", views.savings, name="savings"),
]
