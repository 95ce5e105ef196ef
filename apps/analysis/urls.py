"""URLs of conversation pages, reruns, and result histories."""

from django.urls import URLPattern, URLResolver, path

from .views import conversation, history, rerun, retries

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
]
