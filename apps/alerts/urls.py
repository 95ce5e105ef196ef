"""Paths of alerts."""

from django.urls import path

from .views import incidents, rules

app_name = "alerts"

_RULE = "rules/<str:rule_id>/"
_INCIDENT = "incidents/<str:incident_id>/"

urlpatterns = [
    path("", incidents.incident_list, name="list"),
    path("count/", incidents.count, name="count"),
    path("rules/", rules.rule_list, name="rules"),
    path("rules/new/", rules.new, name="new"),
    path("rules/preview/", rules.draft_preview, name="preview"),
    path(_RULE, rules.detail, name="rule"),
    path(_RULE + "edit/", rules.edit, name="edit"),
    path(_RULE + "past/", rules.past, name="past"),
    path(_RULE + "pause/", rules.pause, name="pause"),
    path(_RULE + "resume/", rules.resume, name="resume"),
    path(_RULE + "delete/", rules.delete, name="delete"),
    path(_INCIDENT, incidents.detail, name="incident"),
    path(_INCIDENT + "acknowledge/", incidents.acknowledge, name="acknowledge"),
    path(_INCIDENT + "assign/", incidents.assign, name="assign"),
    path(_INCIDENT + "note/", incidents.note, name="note"),
    path(_INCIDENT + "resolve/", incidents.resolve, name="resolve"),
]
