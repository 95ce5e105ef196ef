"""How a source of Retell is set up; the steps there are in templates/platforms/retell/."""

from apps.platforms.adapter import SetupGuide
from apps.platforms.models import Platform

GUIDE = SetupGuide(
    kind=Platform.RETELL.value,
    label=Platform.RETELL.label,
    origin="theirs",
    where="Retell signs with an API key of yours: in its dashboard under API Keys, copy the one "
    "with the “Webhook” badge. No other key will do.",
    events="call_started, call_ended, call_analyzed, chat_started, chat_ended, chat_analyzed, "
    "transfer_started, transfer_bridged, transfer_cancelled, transfer_ended",
    dashboard="https://dashboard.retellai.com/",
)
