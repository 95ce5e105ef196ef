"""Paths of CRM connections."""

from django.urls import path

from .views import connections, pushes

app_name = "crm"

_ONE = "<str:connection_id>/"

urlpatterns = [
    path("", connections.connection_list, name="list"),
    path("banner/", connections.banner, name="banner"),
    path("new/<str:kind>/", connections.new, name="new"),
    path(_ONE, pushes.detail, name="detail"),
    path(_ONE + "edit/", connections.edit, name="edit"),
    path(_ONE + "test/", connections.test, name="test"),
    path(_ONE + "enable/", connections.enable, name="enable"),
    path(_ONE + "disable/", connections.disable, name="disable"),
    path(_ONE + "delete/", connections.delete, name="delete"),
    path(_ONE + "approval/", pushes.approval, name="approval"),
    path(_ONE + "again/", pushes.parked_again, name="parked_again"),
    path(_ONE + "<str:push_id>/", pushes.push, name="push"),
    path(_ONE + "<str:push_id>/again/", pushes.again, name="again"),
]
