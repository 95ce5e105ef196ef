"""Paths of this room's pages; the doors themselves are in the API."""

from django.urls import URLPattern, URLResolver, path

from .views import arrivals, sources

app_name = "intake"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", arrivals.arrival_list, name="list"),
    path("replaying/", arrivals.replaying, name="replaying"),
    path("replay/", arrivals.replay_all, name="replay_all"),
    path("payloads/<int:payload_id>/", arrivals.payload_detail, name="payload"),
    path("payloads/<int:payload_id>/raw/", arrivals.payload_raw, name="payload_raw"),
    path("payloads/<int:payload_id>/replay/", arrivals.payload_replay, name="payload_replay"),
    path("sources/new/", sources.source_new, name="source_new"),
    path("sources/<str:source_id>/", sources.source_detail, name="source"),
    path("sources/<str:source_id>/arrival/", sources.source_arrival, name="source_arrival"),
    path("sources/<str:source_id>/change/", sources.source_change, name="source_change"),
    path("sources/<str:source_id>/secret/", sources.source_secret, name="source_secret"),
    path("sources/<str:source_id>/remove/", sources.source_remove, name="source_remove"),
    path("sources/<str:source_id>/agent/", sources.source_agent, name="source_agent"),
]
