"""Estimate the requests to models that follow from a mapping run.

The run itself asks no model. But a model then combines the texts that accumulate in a contact
field, once for each contact and field with at least two different texts.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from apps.contacts.values import TEXT_LIMIT
from apps.conversations.models import ConversationQuerySet
from apps.core.database import sql_of
from apps.llm.models import LanguageModel
from apps.llm.pricing import Expected, expected
from apps.llm.services import default_model
from apps.llm.tokens import estimate_tokens
from apps.mappings.models import Mapping, Mode
from apps.mappings.summaries import OUTPUT_TOKENS, PROMPT_TOKENS

SAMPLE = 20_000
"""Of more conversations than this, only a part of the contacts is looked at."""


@dataclass(frozen=True, slots=True)
class SummaryEstimate:
    """What combining accumulated texts may take at most. ``cost`` is None if a price is unknown.

    ``unpriced`` names the models without a price.
    """

    requests: int
    input_tokens: int
    output_tokens: int
    cost: Decimal | None
    unpriced: tuple[str, ...] = ()


def expected_summaries(found: ConversationQuerySet, conversations: int) -> SummaryEstimate | None:
    """Estimate the requests after a mapping run of ``conversations`` conversations.

    Return None if no mapping accumulates texts. ``found`` are the conversations.
    """
    if not Mapping.objects.filter(mode=Mode.ACCUMULATE).exists():
        return None
    step = max(1, conversations // SAMPLE)
    rows = _load(found, step)
    models = LanguageModel.objects.in_bulk([row.model for row in rows if row.model])
    parts = []
    for row in rows:
        model = models[row.model] if row.model else default_model()
        parts.append((model, _request(model, row.tokens_each).times(row.requests * step)))
    costs = [part.cost for _, part in parts if part.cost is not None]
    return SummaryEstimate(
        requests=sum(row.requests for row in rows) * step,
        input_tokens=sum(part.input_tokens for _, part in parts),
        output_tokens=sum(part.output_tokens for _, part in parts),
        cost=sum(costs, Decimal(0)) if len(costs) == len(parts) else None,
        unpriced=tuple(sorted({model.name for model, part in parts if part.cost is None})),
    )


class _Row(NamedTuple):
    """The requests to one model, the characters of all their texts, and some of the texts."""

    model: int | None
    requests: int
    characters: int
    sample: str

    @property
    def tokens_each(self) -> int:
        """Return the tokens of the texts of one request, as measured on the sample."""
        share = estimate_tokens(self.sample) / len(self.sample)
        return round(self.characters / self.requests * share)


def _request(model: LanguageModel, tokens: int) -> Expected:
    """Return what one request takes. A summary is at most as long as its texts."""
    return expected(
        model.spec(),
        prefix_tokens=PROMPT_TOKENS,
        transcript_tokens=tokens,
        output_tokens=min(OUTPUT_TOKENS, tokens),
    )


# An agent's own mapping goes before the general one. Texts that the fields have already are part
# of what is combined. Equal texts count once. The model is that of the newest conversation.
_LOAD = """
WITH picked AS MATERIALIZED (
  SELECT * FROM ({found}) AS s(conversation_id, contact_id)
  WHERE abs(hashint8(contact_id)::bigint) %% %s = 0
), new AS MATERIALIZED (
  SELECT p.contact_id, m.contact_field AS field, a.output ->> m.analysis_field AS text,
    p.conversation_id
  FROM picked p
  JOIN analysis_analysis a ON a.conversation_id = p.conversation_id AND a.is_current
  JOIN agents_agentversion v ON v.id = a.agent_version_id
  JOIN mappings_mapping m ON m.mode = 'accumulate' AND (m.agent_id = v.agent_id
    OR m.agent_id IS NULL AND NOT EXISTS (SELECT 1 FROM mappings_mapping own
      WHERE own.agent_id = v.agent_id AND own.contact_field = m.contact_field))
), texts AS (
  SELECT contact_id, field, text, max(conversation_id) AS conversation_id FROM (
    SELECT contact_id, field, text, conversation_id FROM new WHERE text <> ''
    UNION ALL
    SELECT c.contact_id, k.field, k.value #>> '{{}}', c.id
    FROM mappings_contribution k JOIN conversations_conversation c ON c.id = k.conversation_id
    WHERE (c.contact_id, k.field) IN (SELECT contact_id, field FROM new)
      AND NOT EXISTS (SELECT 1 FROM picked p WHERE p.conversation_id = c.id)
      AND k.problem = '' AND k.value #>> '{{}}' <> ''
    UNION ALL
    SELECT k.contact_id, k.field, k.value #>> '{{}}', NULL FROM mappings_contribution k
    WHERE (k.contact_id, k.field) IN (SELECT contact_id, field FROM new)
      AND k.problem = '' AND k.value #>> '{{}}' <> ''
  ) AS t GROUP BY contact_id, field, text
), combined AS (
  SELECT least(sum(length(text)), %s) AS characters, max(conversation_id) AS conversation_id,
    left(max(text), 500) AS sample
  FROM texts GROUP BY contact_id, field HAVING count(*) > 1
)
SELECT g.model_id, count(*), sum(o.characters)::bigint,
  array_to_string((array_agg(o.sample))[1:50], ' ')
FROM combined o
LEFT JOIN conversations_conversation c ON c.id = o.conversation_id
LEFT JOIN agents_analysisconfig g ON g.id = c.analysis_config_id
GROUP BY g.model_id ORDER BY g.model_id
"""


def _load(found: ConversationQuerySet, step: int) -> list[_Row]:
    sql, values = sql_of(found.values("pk", "contact"))
    with connection.cursor() as cursor:
        cursor.execute(_LOAD.format(found=sql), [*values, step, TEXT_LIMIT])
        return [_Row(*row) for row in cursor.fetchall()]
