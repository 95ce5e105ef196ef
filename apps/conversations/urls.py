"""URLs of the history pages."""

from django.urls import URLPattern, URLResolver, path

from .views import exports, filters, history, saved, selected

app_name = "conversations"

urlpatterns: list[URLPattern | URLResolver] = [
    path("calls/", history.calls, name="calls"),
    path("chats/", history.chats, name="chats"),
    path("conversations-export/", selected.export, name="export"),
    path("conversations-selected/", selected.selected, name="selected"),
    path("exports/", exports.export_list, name="exports"),
    path("exports/new/", exports.new, name="export_new"),
    path("exports/<slug:export_id>/file/", exports.file, name="export_file"),
    path("exports/<slug:export_id>/cancel/", exports.cancel, name="export_cancel"),
    path("filters/count/", history.count, name="count"),
    path("filters/columns/", history.columns, name="columns"),
    path("filters/row/", filters.filter_row, name="filter_row"),
    path("views/", saved.saved, name="saved_views"),
    path("views/new/", saved.new, name="saved_view_new"),
    path("views/<slug:view_id>/edit/", saved.edit, name="saved_view_edit"),
    path("views/<slug:view_id>/delete/", saved.delete, name="saved_view_delete"),
    path("filters/edit/", filters.filter_edit, name="filter_edit"),
]
