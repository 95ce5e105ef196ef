"""URLs of insights and costs."""

from django.urls import URLPattern, URLResolver, path

from .views import budgets, costs, dashboard, reports, use_cases

app_name = "insights"

urlpatterns: list[URLPattern | URLResolver] = [
    path("insights/", dashboard.overview, name="overview"),
    path("insights/tile/", dashboard.tile, name="tile"),
    path("insights/filter/", dashboard.filter_edit, name="filter_edit"),
    path("insights/customer-success/", use_cases.customer_success, name="customer_success"),
    path("insights/sales/", use_cases.sales, name="sales"),
    path("insights/quality/", use_cases.quality, name="quality"),
    path("insights/reports/", reports.report_list, name="reports"),
    path("insights/reports/new/", reports.new, name="report_new"),
    path("insights/reports/<slug:report_id>/", reports.report, name="report"),
    path("insights/reports/<slug:report_id>/edit/", reports.edit, name="report_edit"),
    path("insights/reports/<slug:report_id>/delete/", reports.delete, name="report_delete"),
    path("insights/reports/<slug:report_id>/test/", reports.test, name="report_test"),
    path("insights/reports/<slug:report_id>/switch/", reports.subscribe, name="report_subscribe"),
    path("insights/<slug:view>/<slug:name>/", use_cases.panel, name="panel"),
    path("costs/", costs.costs, name="costs"),
    path("costs/export/", costs.costs_csv, name="costs_csv"),
    path("costs/conversations/", costs.conversations, name="conversations"),
    path("costs/budgets/", budgets.budgets, name="budgets"),
    path("costs/budgets/edit/", budgets.edit, name="budget_edit"),
    path("costs/budgets/new/", budgets.new, name="budget_new"),
    path("costs/budgets/<slug:agent_id>/edit/", budgets.edit_agent, name="budget_agent"),
    path("costs/savings/<slug:agent_id>/", costs.savings, name="savings"),
]
