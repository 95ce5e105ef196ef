"""URLs of the follow-up pages."""

from django.urls import path

from .views import changes, queue, rules

app_name = "follow_ups"

urlpatterns = [
    path("", queue.queue, name="list"),
    path("count/", queue.count, name="count"),
    path("new/", changes.new, name="new"),
    path("selected/", changes.selected, name="selected"),
    path("assign/", changes.assign, name="assign"),
    path("rules/", rules.rules, name="rules"),
    path("rules/new/", rules.new, name="rule_new"),
    path("rules/<slug:rule_id>/edit/", rules.edit, name="rule_edit"),
    path("rules/<slug:rule_id>/delete/", rules.delete, name="rule_delete"),
    path("<slug:follow_up_id>/edit/", changes.edit, name="edit"),
    path("<slug:follow_up_id>/take/", changes.take, name="take"),
    path("<slug:follow_up_id>/done/", changes.done, name="done"),
    path("<slug:follow_up_id>/reopen/", changes.reopen, name="reopen"),
]
