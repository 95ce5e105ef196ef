"""Log conversations in Salesforce, as completed tasks of a contact."""

from datetime import UTC, timedelta
from typing import Any, Final

from .activity_text import plain_text
from .base import Activity, ItemResult, Verdict
from .exchange import as_text
from .salesforce_api import VERSION, SalesforceApi, quoted
from .salesforce_errors import RETRIED, codes, errors_of, words_of
from .shortening import shortened

_TASK: Final = f"/services/data/{VERSION}/sobjects/Task"
_DESCRIPTION, _TEXT = 32_000, 255


class Tasks:
    """The tasks of one organization, with the fields that the run-as user may write."""

    def __init__(self, api: SalesforceApi) -> None:
        self.api = api
        self._writable: frozenset[str] = frozenset()

    async def log(self, activity: Activity, remote_id: str) -> ItemResult:
        """Create the task of a conversation, or update it. Raises ConnectorError."""
        task = await self._task(activity, remote_id)
        task_id = activity.activity_id or await self._logged_before(activity, remote_id)
        method, path = "POST", _TASK
        if task_id:
            task.pop("TaskSubtype", None)  # can't be changed
            method, path = "PATCH", f"{_TASK}/{task_id}"
        response = await self.api.request(method, path, task, about_content=(400, 404))
        errors = [] if response.ok else errors_of(response)
        locked = bool(codes(errors) & RETRIED)
        failed = Verdict.RETRY if locked else Verdict.PARKED
        created = response.data.get("id") if isinstance(response.data, dict) else ""
        return ItemResult(
            Verdict.OK if response.ok else failed,
            words_of(errors) if errors else "",
            remote_id=remote_id,
            activity_id=task_id or str(created or ""),
            sent=as_text(task),
            got=response.stored_text,
            status=response.status,
            retry_after=timedelta(seconds=10) if locked else None,
        )

    async def _task(self, activity: Activity, remote_id: str) -> dict[str, Any]:
        if not self._writable:
            described = (await self.api.request("GET", f"{_TASK}/describe")).data
            listed = described.get("fields") or []
            self._writable = frozenset(str(one["name"]) for one in listed if one.get("createable"))
        task: dict[str, Any] = {
            "Subject": shortened(activity.subject, _TEXT),
            "Status": "Completed",
            "ActivityDate": activity.started_at.astimezone(UTC).date().isoformat(),
            "Description": plain_text(activity, _DESCRIPTION),
            "CallObject": activity.conversation_id,
        }
        if activity.channel == "voice":
            task |= _call(activity)
        known = {name: value for name, value in task.items() if value and name in self._writable}
        return {"WhoId": remote_id} | known

    async def _logged_before(self, activity: Activity, remote_id: str) -> str:
        """Return the task of an attempt whose response was lost; empty where there is none."""
        if "CallObject" not in self._writable:
            return ""
        who, conversation = quoted(remote_id), quoted(activity.conversation_id)
        records = await self.api.select(
            f"SELECT Id FROM Task WHERE WhoId = {who} AND CallObject = {conversation}"
        )
        return str(records[0]["Id"]) if records else ""


def _call(activity: Activity) -> dict[str, Any]:
    seconds = None if activity.duration_ms is None else round(activity.duration_ms / 1000)
    return {
        "TaskSubtype": "Call",
        "CallType": activity.direction.capitalize(),
        "CallDurationInSeconds": seconds,
        "CallDisposition": shortened(activity.outcome, _TEXT),
    }
