"""URLs of the mapping pages."""

from django.urls import path

from .views import mappings

app_name = "mappings"

urlpatterns = [
    path("", mappings.mapping_list, name="list"),
    path("new/", mappings.new, name="new"),
    path("<slug:mapping_id>/edit/", mappings.edit, name="edit"),
    path("<slug:mapping_id>/delete/", mappings.delete, name="delete"),
]
