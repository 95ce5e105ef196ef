"""How a source of Vapi is set up; the steps there are in templates/platforms/vapi/."""

from apps.platforms.adapter import SetupGuide
from apps.platforms.models import Platform

GUIDE = SetupGuide(
    kind=Platform.VAPI.value,
    label=Platform.VAPI.label,
    origin="ours",
    where="Leave blank to generate a strong secret. You’ll see it once.",
    events="end-of-call-report, status-update, session.updated (chats)",
    dashboard="https://dashboard.vapi.ai/",
)
