"""URLs of insights and costs."""

from django.urls import URLPattern, URLResolver, path

from .views import costs, dashboard, use_cases

app_name = "insights"

urlpatterns: list[URLPattern | URLResolver] = [
    path("insights/", dashboard.overview, name="overview"),
    path("insights/tile/", dashboard.tile, name="tile"),
    path("insights/filter/", dashboard.filter_edit, name="filter_edit"),
    path("insights/customer-success/", use_cases.customer_success, name="customer_success"),
    path("insights/sales/", use_cases.sales, name="sales"),
    path("insights/quality/", use_cases.quality, name="quality"),
    path("insights/<slug:view>/<slug:name>/", use_cases.panel, name="panel"),
    path("costs/", costs.costs, name="costs"),
    path("costs/export/", costs.costs_csv, name="costs_csv"),
    path("costs/conversations/", costs.conversations, name="conversations"),
    path("costs/savings/<slug:agent_id>/", costs.savings, name="savings"),
]
