"""URLs of the contact pages."""

from django.urls import URLPattern, URLResolver, path

from .views import contact, contact_edit, contact_fields, contact_import, directory

app_name = "contacts"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", directory.contacts, name="list"),
    path("columns/", directory.columns, name="columns"),
    path("filter/", directory.filter_edit, name="filter_edit"),
    path("filter-row/", directory.filter_row, name="filter_row"),
    path("export/", directory.export, name="export"),
    path("new/", contact_edit.new, name="new"),
    path("fields/", contact_fields.fields, name="fields"),
    path("fields/new/", contact_fields.new, name="field_new"),
    path("fields/<slug:field_name>/edit/", contact_fields.edit, name="field_edit"),
    path("fields/<slug:field_name>/delete/", contact_fields.delete, name="field_delete"),
    path("import/", contact_import.upload, name="import"),
    path("import/<slug:import_id>/", contact_import.check, name="import_check"),
    path("import/<slug:import_id>/rejected/", contact_import.rejected, name="import_rejected"),
    path("<slug:contact_id>/", contact.detail, name="detail"),
    path("<slug:contact_id>/edit/", contact_edit.edit, name="edit"),
    path("<slug:contact_id>/merge/", contact_edit.merge, name="merge"),
    path(
        "<slug:contact_id>/aliases/<int:alias_id>/release/",
        contact_edit.alias_release,
        name="alias_release",
    ),
    path("<slug:contact_id>/delete/", contact_edit.delete, name="delete"),
    path("<slug:contact_id>/history/<slug:field_name>/", contact.history, name="history"),
]
