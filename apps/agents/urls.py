"""URLs of agents."""

from django.urls import URLPattern, URLResolver, path

from .views import agent_list, editors, history, lifecycle, start, suggestions

app_name = "agents"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", agent_list.agent_list, name="list"),
    path("new/", agent_list.agent_new, name="new"),
    path("<str:agent_id>/", agent_list.agent_detail, name="detail"),
    path("<str:agent_id>/prompts/", editors.prompts, name="prompts"),
    path("<str:agent_id>/prompts/shares/", suggestions.advice_on_prompts, name="shares"),
    path("<str:agent_id>/fields/", editors.fields, name="fields"),
    path("<str:agent_id>/fields/advice/", suggestions.advice_on_fields, name="advice"),
    path("<str:agent_id>/start/", start.start, name="start"),
    path("<str:agent_id>/post-analysis/", editors.post_analysis, name="post_analysis"),
    path("<str:agent_id>/versions/", history.versions, name="versions"),
    path("<str:agent_id>/compare/", history.compare, name="compare"),
    path("<str:agent_id>/restore/", history.restore, name="restore"),
    path("<str:agent_id>/publish/", history.publish, name="publish"),
    path("<str:agent_id>/rename/", lifecycle.rename, name="rename"),
    path("<str:agent_id>/deactivate/", lifecycle.deactivate, name="deactivate"),
    path("<str:agent_id>/reactivate/", lifecycle.reactivate, name="reactivate"),
]
