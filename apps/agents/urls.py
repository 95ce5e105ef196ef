"""Paths of this room."""

from django.urls import URLPattern, URLResolver, path

from .views import advice, editors, history, listing, starting, upkeep

app_name = "agents"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", listing.agent_list, name="list"),
    path("new/", listing.agent_new, name="new"),
    path("<str:agent_id>/", listing.agent_detail, name="detail"),
    path("<str:agent_id>/prompts/", editors.prompts, name="prompts"),
    path("<str:agent_id>/prompts/shares/", advice.advice_on_prompts, name="shares"),
    path("<str:agent_id>/fields/", editors.fields, name="fields"),
    path("<str:agent_id>/fields/advice/", advice.advice_on_fields, name="advice"),
    path("<str:agent_id>/start/", starting.start, name="start"),
    path("<str:agent_id>/post-analysis/", editors.post_analysis, name="post_analysis"),
    path("<str:agent_id>/versions/", history.versions, name="versions"),
    path("<str:agent_id>/compare/", history.compare, name="compare"),
    path("<str:agent_id>/restore/", history.restore, name="restore"),
    path("<str:agent_id>/publish/", history.publish, name="publish"),
    path("<str:agent_id>/rename/", upkeep.rename, name="rename"),
    path("<str:agent_id>/deactivate/", upkeep.deactivate, name="deactivate"),
    path("<str:agent_id>/reactivate/", upkeep.reactivate, name="reactivate"),
]
