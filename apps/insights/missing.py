"""Reasons for which conversations are left out of statistics, each with its filter.

The reasons of conversations without a result are those that their own page shows
(`apps.analysis.missing_reason`).
"""

from collections import Counter
from collections.abc import Iterable

from apps.analysis.missing_reason import missing_code, missing_label
from apps.conversations.models import OPEN, AnalysisState, Reason
from apps.llm.errors import ErrorCode

from .field_stats import OF_RESULTS, Omission
from .scope import Params, Scope

_UNANALYZED = [AnalysisState.NONE.value, AnalysisState.SKIPPED.value]


def omissions(scope: Scope, counts: Counter[str], of_field: Counter[str]) -> tuple[Omission, ...]:
    """Return the omissions, the most frequent first.

    ``counts`` are conversations without a result by code, ``of_field`` those with a result by
    what their value lacks. The latter have no link: no filter finds exactly those.
    """
    found = [
        Omission(code, missing_label(code), n, scope.url(params_of(code)))
        for code, n in counts.items()
        if n
    ]
    found += [Omission(code, OF_RESULTS[code], n) for code, n in of_field.items() if n]
    return tuple(sorted(found, key=lambda o: (-o.n, o.code)))


def count_codes(rows: Iterable[tuple[str, str, bool, int]]) -> Counter[str]:
    """Count conversations without a result, given as (state, reason, is open, number)."""
    counts = Counter[str]()
    for state, reason, is_open, n in rows:
        counts[missing_code(state, reason, is_open=is_open)] += n
    return counts


def params_of(code: str) -> Params:
    """Return the filter of the conversations that have no result for this reason."""
    if code in {AnalysisState.PENDING, AnalysisState.RUNNING}:
        return {"analysis_state": [code]}
    if code in ErrorCode.values:
        return {"analysis_state": [AnalysisState.FAILED.value], "analysis_reason": [code]}
    if code == Reason.NOT_ENDED:
        return {"analysis_state": _UNANALYZED, "status": list(OPEN)}
    if code in Reason.values:
        return {"analysis_state": _UNANALYZED, "analysis_reason": [code]}
    return {"analysis_state": _UNANALYZED, "analysis_reason__isset": ["false"]}
