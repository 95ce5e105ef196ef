"""URLs of backfills and test runs."""

from django.urls import URLPattern, URLResolver, path

from .views import (
    backfills,
    banner,
    changes,
    derived_fields,
    mapping_runs,
    rollbacks,
    runs,
    trials,
    try_it,
)

app_name = "runs"

urlpatterns: list[URLPattern | URLResolver] = [
    path("backfills/", runs.run_list, name="list"),
    path("backfills/new/", backfills.new, name="new"),
    path("backfills/preview/", backfills.preview, name="preview"),
    path("backfills/preview/count/", backfills.preview_count, name="preview_count"),
    path("backfills/mappings/", mapping_runs.apply_mappings, name="apply_mappings"),
    path("backfills/actions/", backfills.actions, name="actions"),
    path("backfills/banner/", banner.banner, name="banner"),
    path("backfills/<str:public_id>/", runs.detail, name="detail"),
    path(
        "backfills/<str:public_id>/neighbors/<str:conversation_id>/",
        runs.neighbors,
        name="neighbors",
    ),
    path("backfills/<str:public_id>/progress/", runs.progress, name="progress"),
    path("backfills/<str:public_id>/report/", rollbacks.report, name="report"),
    path("backfills/<str:public_id>/rollback/", rollbacks.rollback, name="rollback"),
    path("backfills/<str:public_id>/pause/", changes.pause, name="pause"),
    path("backfills/<str:public_id>/resume/", changes.resume, name="resume"),
    path("backfills/<str:public_id>/cancel/", changes.cancel, name="cancel"),
    path("backfills/<str:public_id>/budget/", changes.budget, name="budget"),
    path("backfills/<str:public_id>/retry-failed/", changes.retry_failed, name="retry_failed"),
    path("agents/<slug:agent_id>/try/", try_it.try_it, name="try_it"),
    path("agents/<slug:agent_id>/try/last/", trials.evidence, name="trial_evidence"),
    path("derived-fields/", derived_fields.field_list, name="derived_fields"),
    path("derived-fields/new/", derived_fields.new, name="derived_new"),
    path("derived-fields/<slug:name>/", derived_fields.edit, name="derived_edit"),
    path("derived-fields/<slug:name>/delete/", derived_fields.delete, name="derived_delete"),
    path(
        "derived-fields/<slug:name>/recompute/", derived_fields.recompute, name="derived_recompute"
    ),
    path("trials/new/", try_it.trial_new, name="trial_new"),
    path("trials/preview/", try_it.preview, name="trial_preview"),
    path("trials/<slug:trial_id>/", trials.trial, name="trial"),
    path("trials/<slug:trial_id>/progress/", trials.progress, name="trial_progress"),
    path("trials/<slug:trial_id>/cancel/", trials.cancel, name="trial_cancel"),
    path(
        "trials/<slug:trial_id>/<int:position>/transcript/",
        trials.transcript,
        name="trial_transcript",
    ),
]
