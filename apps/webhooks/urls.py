"""URLs of webhook endpoints and deliveries."""

from django.urls import path

from .views import deliveries, endpoints

app_name = "webhooks"

_ONE = "<str:endpoint_id>/"

urlpatterns = [
    path("", endpoints.endpoint_list, name="list"),
    path("new/", endpoints.new, name="new"),
    path("banner/", endpoints.banner, name="banner"),
    path(_ONE, deliveries.detail, name="detail"),
    path(_ONE + "edit/", endpoints.edit, name="edit"),
    path(_ONE + "secret/", endpoints.secret, name="secret"),
    path(_ONE + "enable/", endpoints.enable, name="enable"),
    path(_ONE + "disable/", endpoints.disable, name="disable"),
    path(_ONE + "delete/", endpoints.delete, name="delete"),
    path(_ONE + "test/", deliveries.test, name="test"),
    path(_ONE + "test/tested/", deliveries.tested, name="tested"),
    path(_ONE + "again/", deliveries.failed_again, name="failed_again"),
    path(_ONE + "<str:event_id>/", deliveries.delivery, name="delivery"),
    path(_ONE + "<str:event_id>/again/", deliveries.again, name="again"),
]
