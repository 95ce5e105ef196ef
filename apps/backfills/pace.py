"""How long a backfill will take: by what its model was seen to do lately."""

from collections.abc import Sequence

from django.conf import settings
from django.db.models import Avg

from apps.analysis.models import Analysis

#: Seconds of one answer where nothing of the model was seen yet.
DEFAULT_LATENCY_SECONDS = 2.0
_LOOK_BACK = 500


def expected_seconds(sessions: int, models: Sequence[str]) -> float:
    """Seconds for this many sessions in one worker process, at the latency of recent answers.

    The slowest of the models counts, since the run ends with its last item.
    """
    if not sessions:
        return 0.0
    recent = Analysis.objects.order_by("-pk").values("pk")[:_LOOK_BACK]
    latency = Analysis.objects.filter(
        pk__in=recent, model__in=set(models), latency_ms__gt=0
    ).aggregate(mean=Avg("latency_ms"))["mean"]
    seconds = float(latency) / 1000 if latency else DEFAULT_LATENCY_SECONDS
    in_flight = min(settings.ANALYSIS_CONCURRENCY, sessions)
    return seconds * max(sessions / in_flight, 1.0)
