"""The whole map on one screen. Each app's own paths are in its urls.py."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from config import gallery, health, metrics

urlpatterns = [
    path("api/", include("apps.api.urls")),  # first: most requests come here
    path("", RedirectView.as_view(pattern_name="conversations:calls"), name="home"),
    path("", include("apps.accounts.urls")),  # login/ logout/ people/ api-keys/ audit/
    path("", include("apps.conversations.urls")),  # calls/ chats/
    path("", include("apps.privacy.urls")),  # …/erase/, agents/<agt_id>/retention/
    path("", include("apps.intake.urls")),  # conversations/<conv_id>/close/
    path("", include("apps.platforms.urls")),  # intake/, conversations/<conv_id>/recording/
    path("", include("apps.analysis.urls")),  # conversations/<conv_id>/…
    path("agents/", include("apps.agents.urls")),
    path("contacts/", include("apps.mappings.contact_urls")),
    path("mappings/", include("apps.mappings.urls")),
    path("follow-ups/", include("apps.follow_ups.urls")),
    path("", include("apps.runs.urls")),  # backfills/ trials/ agents/<agt_id>/try/
    path("", include("apps.insights.urls")),  # costs/
    path("crm/", include("apps.crm.urls")),
    path("alerts/", include("apps.alerts.urls")),
    path("webhooks/", include("apps.webhooks.urls")),
    path("admin/", admin.site.urls),
    path("components/", gallery.gallery, name="components"),  # for developers
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
]
