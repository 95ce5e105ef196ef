"""How long a backfill will take: by what its model was seen to do lately."""

from collections.abc import Collection

from django.conf import settings
from django.db.models import Avg

from apps.analysis.models import Analysis
from apps.llm.models import LanguageModel

#: Seconds of one answer where nothing of the model was seen yet.
DEFAULT_LATENCY_SECONDS = 2.0
_LOOK_BACK = 500


def expected_seconds(sessions: int, models: Collection[LanguageModel]) -> float:
    """Seconds for this many sessions in one worker process, at the latency of recent answers.

    In flight are as many as the worker and the narrowest of the models allow.
    """
    if not sessions:
        return 0.0
    recent = Analysis.objects.order_by("-pk").values("pk")[:_LOOK_BACK]
    latency = Analysis.objects.filter(
        pk__in=recent, model__in={model.name for model in models}, latency_ms__gt=0
    ).aggregate(mean=Avg("latency_ms"))["mean"]
    seconds = float(latency) / 1000 if latency else DEFAULT_LATENCY_SECONDS
    limits = [model.max_concurrency for model in models if model.max_concurrency]
    in_flight = min([settings.ANALYSIS_CONCURRENCY, sessions, *limits])
    return seconds * max(sessions / in_flight, 1.0)
