"""Paths of this room."""

from django.urls import URLPattern, URLResolver, path

from .views import conversation, history, rerun, retries, trials, trying

app_name = "analysis"

urlpatterns: list[URLPattern | URLResolver] = [
    path("conversations/<slug:conv_id>/", conversation.conversation, name="conversation"),
    path("conversations/<slug:conv_id>/messages/", conversation.messages, name="messages"),
    path(
        "conversations/<slug:conv_id>/messages/<int:index>/", conversation.message, name="message"
    ),
    path("conversations/<slug:conv_id>/rerun/", rerun.rerun, name="rerun"),
    path("conversations/<slug:conv_id>/retry/", retries.retry_first, name="retry_first"),
    path("conversations/<slug:conv_id>/changes/", rerun.changes, name="changes"),
    path(
        "conversations/<slug:conv_id>/analyses/<slug:an_id>/progress/",
        conversation.progress,
        name="progress",
    ),
    path(
        "conversations/<slug:conv_id>/analyses/<slug:an_id>/restore/",
        history.restore,
        name="restore",
    ),
    path("agents/<slug:agent_id>/try/", trying.try_it, name="try_it"),
    path("agents/<slug:agent_id>/try/last/", trials.evidence, name="trial_evidence"),
    path("trials/new/", trying.trial_new, name="trial_new"),
    path("trials/preview/", trying.preview, name="trial_preview"),
    path("trials/<slug:trial_id>/", trials.trial, name="trial"),
    path("trials/<slug:trial_id>/progress/", trials.progress, name="trial_progress"),
    path("trials/<slug:trial_id>/cancel/", trials.cancel, name="trial_cancel"),
    path(
        "trials/<slug:trial_id>/<int:position>/transcript/",
        trials.transcript,
        name="trial_transcript",
    ),
]
