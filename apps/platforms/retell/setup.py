"""How a source of Retell is set up; the steps there are in templates/platforms/retell/."""

from apps.platforms.adapter import SetupGuide
from apps.platforms.models import Platform

GUIDE = SetupGuide(
    kind=Platform.RETELL.value,
    label=Platform.RETELL.label,
    origin="theirs",
    where="Retell signs requests with an API key. In Retell, open API Keys and copy the key with "
    "the “Webhook” badge.",
    events="call_started, call_ended, call_analyzed, chat_started, chat_ended, chat_analyzed, "
    "transfer_started, transfer_bridged, transfer_cancelled, transfer_ended",
    dashboard="https://dashboard.retellai.com/",
)
