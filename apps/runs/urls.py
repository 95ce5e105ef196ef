"""URLs of backfills and test runs."""

from django.urls import URLPattern, URLResolver, path

from .views import (
    asking,
    banner,
    changing,
    derived_fields,
    mapping_runs,
    runs,
    trials,
    try_it,
    undoing,
)

app_name = "runs"

urlpatterns: list[URLPattern | URLResolver] = [
    path("backfills/", runs.run_list, name="list"),
    path("backfills/new/", asking.new, name="new"),
    path("backfills/preview/", asking.preview, name="preview"),
    path("backfills/preview/count/", asking.preview_count, name="preview_count"),
    path("backfills/mappings/", mapping_runs.apply_mappings, name="apply_mappings"),
    path("backfills/actions/", asking.actions, name="actions"),
    path("backfills/banner/", banner.banner, name="banner"),
    path("backfills/<str:public_id>/", runs.detail, name="detail"),
    path(
        "backfills/<str:public_id>/neighbors/<str:conversation_id>/",
        runs.neighbors,
        name="neighbors",
    ),
    path("backfills/<str:public_id>/progress/", runs.progress, name="progress"),
    path("backfills/<str:public_id>/report/", undoing.report, name="report"),
    path("backfills/<str:public_id>/rollback/", undoing.rollback, name="rollback"),
    path("backfills/<str:public_id>/pause/", changing.pause, name="pause"),
    path("backfills/<str:public_id>/resume/", changing.resume, name="resume"),
    path("backfills/<str:public_id>/cancel/", changing.cancel, name="cancel"),
    path("backfills/<str:public_id>/budget/", changing.budget, name="budget"),
    path("backfills/<str:public_id>/retry-failed/", changing.retry_failed, name="retry_failed"),
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
