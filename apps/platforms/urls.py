"""URLs of sources and payloads, and of a conversation's recording; webhook URLs are in the API."""

from django.urls import URLPattern, URLResolver, path

from .views import payloads, recordings, sources

app_name = "intake"

urlpatterns: list[URLPattern | URLResolver] = [
    path("intake/", payloads.payload_list, name="list"),
    path("intake/replaying/", payloads.replaying, name="replaying"),
    path("intake/replay/", payloads.replay_all, name="replay_all"),
    path("intake/payloads/<int:payload_id>/", payloads.payload_detail, name="payload"),
    path("intake/payloads/<int:payload_id>/raw/", payloads.payload_raw, name="payload_raw"),
    path(
        "intake/payloads/<int:payload_id>/replay/", payloads.payload_replay, name="payload_replay"
    ),
    path("intake/sources/new/", sources.source_new, name="source_new"),
    path("intake/sources/<str:source_id>/", sources.source_detail, name="source"),
    path("intake/sources/<str:source_id>/arrival/", sources.source_arrival, name="source_arrival"),
    path("intake/sources/<str:source_id>/change/", sources.source_change, name="source_change"),
    path("intake/sources/<str:source_id>/secret/", sources.source_secret, name="source_secret"),
    path("intake/sources/<str:source_id>/remove/", sources.source_remove, name="source_remove"),
    path("intake/sources/<str:source_id>/agent/", sources.source_agent, name="source_agent"),
    path("conversations/<slug:conv_id>/recording/", recordings.recording, name="recording"),
]
