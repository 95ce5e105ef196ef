"""HubSpot's CRM API, as far as the connector speaks to it: dated paths, contacts, activities.

Shapes and messages are those of HubSpot's reference, of the models in its Python client, and of
responses that users of it published. See the section on HubSpot in ``docs/crm.md``.
"""

import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any

from tests.fakes.vendor_server import Call, Reply, VendorServer

TOKEN = "pat-na1-11111111-2222-3333-4444-555555555555"
VERSION = "2026-03"
WINDOW_SECONDS = 10.0

Json = dict[str, Any]
_OBJECTS = f"/crm/objects/{VERSION}"
_SCOPES = {
    "read": "crm.objects.contacts.read",
    "write": "crm.objects.contacts.write",
    "schema": "crm.schemas.contacts.read",
}


def property_(name: str, kind: str = "string", *options: str, **extra: Any) -> Json:
    """Return the definition of a property. Options are internal names, their labels differ."""
    field_types = {"string": "text", "number": "number", "bool": "booleancheckbox"}
    field_types |= {"date": "date", "datetime": "date", "enumeration": "select"}
    return {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "type": kind,
        "fieldType": field_types[kind],
        "options": [
            {"label": option.replace("_", " ").title(), "value": option, "hidden": False}
            for option in options
        ],
        "hasUniqueValue": False,
        "calculated": False,
        "modificationMetadata": {"archivable": True, "readOnlyValue": False},
    } | extra


def _standard_properties() -> list[Json]:
    read_only: Json = {"modificationMetadata": {"readOnlyValue": True}}
    return [
        property_("email"),
        property_("firstname"),
        property_("lastname"),
        property_("phone", fieldType="phonenumber"),
        property_("mobilephone", fieldType="phonenumber"),
        property_("hs_additional_emails", **read_only),
        property_("hs_searchable_calculated_phone_number", **read_only),
        property_("hs_searchable_calculated_mobile_number", **read_only),
        property_("createdate", "datetime", **read_only),
        property_("company"),
    ]


class HubSpotServer(VendorServer):
    """One HubSpot account.

    ``contacts`` maps record ids to their properties, ``activities`` holds calls and
    communications. ``writes`` counts how often each contact was written. ``limit`` requests are
    taken per ten seconds of ``clock``; the rest gets 429. ``whole_batches``: one invalid value
    fails a batch (400), as without multi-status errors, instead of its item (207).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = TOKEN
        self.scopes = set(_SCOPES.values())
        self.properties = {p["name"]: p for p in _standard_properties()}
        self.contacts: dict[str, Json] = {}
        self.activities: list[Json] = []
        self.writes: Counter[str] = Counter()
        self.limit = 100_000
        self.daily_left = 250_000
        self.whole_batches = False
        self.index_lags = False
        self.clock = clock
        self._arrivals: deque[float] = deque()
        self._next_id = 101
        self._index: tuple[tuple[str, int, int] | None, dict[str, str]] = (None, {})
        super().__init__()

    def add_property(self, name: str, kind: str = "string", *options: str, **extra: Any) -> None:
        self.properties[name] = property_(name, kind, *options, **extra)

    def add_contact(self, **properties: Any) -> str:
        """Store a contact and return its record id."""
        record_id = str(self._next_id)
        self._next_id += 1
        self.contacts[record_id] = {"createdate": "2024-05-01T08:00:00Z"} | properties
        return record_id

    # Requests

    def handle(self, call: Call) -> Reply:
        limited = self._limits(call)
        if isinstance(limited, Reply):
            return limited
        reply = self._guard(call) or self._route(call)
        return Reply(reply.status, reply.body, limited | dict(reply.headers))

    def _limits(self, call: Call) -> Reply | dict[str, str]:
        now = self.clock()
        while self._arrivals and self._arrivals[0] <= now - WINDOW_SECONDS:
            self._arrivals.popleft()
        if self.daily_left <= 0:
            return _too_many("DAILY", "daily")
        if len(self._arrivals) >= self.limit:
            return _too_many("TEN_SECONDLY_ROLLING", "ten_secondly_rolling")
        self._arrivals.append(now)
        self.daily_left -= 1
        if call.path.endswith("/search"):
            return {}  # searches carry no such headers
        return {
            "X-HubSpot-RateLimit-Max": str(self.limit),
            "X-HubSpot-RateLimit-Remaining": str(self.limit - len(self._arrivals)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(round(WINDOW_SECONDS * 1000)),
            "X-HubSpot-RateLimit-Daily": "250000",
            "X-HubSpot-RateLimit-Daily-Remaining": str(self.daily_left),
        }

    def _guard(self, call: Call) -> Reply | None:
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return _error(
                401,
                "INVALID_AUTHENTICATION",
                "Authentication credentials not found. This API supports OAuth 2.0 authentication "
                "and you can find more details at https://developers.hubspot.com/docs/methods/auth"
                "/oauth-overview",
            )
        reads = call.method == "GET" or call.path.endswith(("/read", "/search"))
        scope = _SCOPES["schema" if "/properties/" in call.path else "read" if reads else "write"]
        if scope in self.scopes:
            return None
        return _error(
            403,
            "MISSING_SCOPES",
            "This app hasn't been granted all required scopes to make this call. Read more about "
            "required scopes here: https://developers.hubspot.com/scopes.",
            errors=[
                {
                    "message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": [scope]},
                }
            ],
        )

    def _route(self, call: Call) -> Reply:
        routes: list[tuple[str, str, Callable[..., Reply]]] = [
            ("GET", f"/crm/properties/{VERSION}/contacts", self._list_properties),
            ("GET", f"{_OBJECTS}/contacts", self._list_contacts),
            ("GET", f"{_OBJECTS}/contacts/([^/]+)", self._get_contact),
            ("POST", f"{_OBJECTS}/contacts/batch/read", self._batch_read),
            ("POST", f"{_OBJECTS}/contacts/batch/update", self._batch_update),
            ("POST", f"{_OBJECTS}/contacts/batch/create", self._batch_create),
            ("POST", f"{_OBJECTS}/contacts/search", self._search),
            ("PATCH", f"{_OBJECTS}/contacts/([^/]+)", self._update),
            ("POST", f"{_OBJECTS}/contacts", self._create),
            ("POST", f"{_OBJECTS}/(calls|communications)", self._log_activity),
            ("PATCH", f"{_OBJECTS}/(calls|communications)/([^/]+)", self._change_activity),
        ]
        for method, pattern, view in routes:
            if call.method == method and (found := re.fullmatch(pattern, call.path)):
                return view(call, *found.groups())
        return Reply(404, "<html><body>404 Not Found</body></html>")

    def _list_properties(self, call: Call) -> Reply:
        return Reply(200, {"results": list(self.properties.values())})

    def _list_contacts(self, call: Call) -> Reply:
        names = call.query.get("properties", "").split(",")
        limit = int(call.query.get("limit", "10"))
        found = [self._shown(record_id, names) for record_id in list(self.contacts)[:limit]]
        return Reply(200, {"results": found})

    def _get_contact(self, call: Call, record_id: str) -> Reply:
        if record_id not in self.contacts:
            return Reply(404, "")
        return Reply(200, self._shown(record_id, call.query.get("properties", "").split(",")))

    # Batches

    def _batch_read(self, call: Call) -> Reply:
        inputs, names = call.body["inputs"], call.body["properties"]
        id_property = call.body.get("idProperty")
        if len(inputs) > 100:
            return _error(400, "VALIDATION_ERROR", f"{len(inputs)} inputs exceed the limit of 100")
        results, missing = [], []
        for one in inputs:
            record_id = self._find(id_property, one["id"])
            if record_id is None:
                missing.append(one["id"])
            else:
                results.append(self._shown(record_id, names))
        return self._batch_reply(results, [_not_found(missing)] if missing else [])

    def _find(self, id_property: str | None, value: str) -> str | None:
        if id_property is None:
            return value if value in self.contacts else None
        return self._holders(id_property).get(value.lower())

    def _holders(self, name: str) -> dict[str, str]:
        """Return record ids by a unique value, in lower case; a contact has several emails."""
        key = (name, len(self.contacts), self.writes.total())
        if self._index[0] != key:
            found: dict[str, str] = {}
            for record_id, record in self.contacts.items():
                values = [record.get(name)]
                if name == "email":
                    values += (record.get("hs_additional_emails") or "").split(";")
                found |= {str(one).lower(): record_id for one in values if one}
            self._index = (key, found)
        return self._index[1]

    def _batch_update(self, call: Call) -> Reply:
        inputs = call.body["inputs"]
        if refused := self._refuse_batch(inputs):
            return refused
        results, errors, missing = [], [], []
        for one in inputs:
            if one["id"] not in self.contacts:
                missing.append(one["id"])
            elif problems := self._problems(one["properties"], one["id"]):
                errors.append(_item_error(problems, one))
            else:
                self._write(one["id"], one["properties"])
                results.append(self._traced(one, one["id"]))
        if missing:
            errors.append(_not_found(missing))
        return self._batch_reply(results, errors)

    def _batch_create(self, call: Call) -> Reply:
        inputs = call.body["inputs"]
        if refused := self._refuse_batch(inputs):
            return refused
        results, errors = [], []
        for one in inputs:
            if existing := self._conflict(one["properties"], None):
                errors.append(
                    {
                        "status": "error",
                        "category": "CONFLICT",
                        "message": f"Contact already exists. Existing ID: {existing}",
                        "context": {"objectWriteTraceId": [one["objectWriteTraceId"]]},
                    }
                )
            elif problems := self._problems(one["properties"], None):
                errors.append(_item_error(problems, one))
            else:
                record_id = self.add_contact(**one["properties"])
                self.writes[record_id] += 1
                results.append(self._traced(one, record_id))
        return self._batch_reply(results, errors, created=201)

    def _refuse_batch(self, inputs: list[Json]) -> Reply | None:
        """Return the error for a whole batch: too large, one record twice, or an invalid value."""
        if len(inputs) > 100:
            return _error(400, "VALIDATION_ERROR", f"{len(inputs)} inputs exceed the limit of 100")
        ids = [one["id"] for one in inputs if "id" in one]
        if twice := [record_id for record_id, times in Counter(ids).items() if times > 1]:
            return _error(400, "VALIDATION_ERROR", f"Duplicate IDs found in batch input: {twice}")
        if not self.whole_batches:
            return None
        for one in inputs:
            if problems := self._problems(one["properties"], one.get("id")):
                return _error(400, "VALIDATION_ERROR", _invalid(problems))
        for one in inputs:
            if "id" not in one and (existing := self._conflict(one["properties"], None)):
                return _error(409, "CONFLICT", f"Contact already exists. Existing ID: {existing}")
        return None

    def _batch_reply(self, results: list[Json], errors: list[Json], created: int = 200) -> Reply:
        body: Json = {
            "status": "COMPLETE",
            "results": results,
            "startedAt": "2026-01-01T00:00:00.000Z",
            "completedAt": "2026-01-01T00:00:00.100Z",
        }
        if errors:
            body |= {"numErrors": len(errors), "errors": errors}
        return Reply(207 if errors else created, body)

    # Single records

    def _update(self, call: Call, record_id: str) -> Reply:
        if record_id not in self.contacts:
            return _error(
                404, "OBJECT_NOT_FOUND", "Object not found. objectId are usually numeric."
            )
        properties = call.body["properties"]
        if problems := self._problems(properties, record_id):
            return _error(400, "VALIDATION_ERROR", _invalid(problems))
        self._write(record_id, properties)
        return Reply(200, self._shown(record_id, list(properties)))

    def _create(self, call: Call) -> Reply:
        properties = call.body["properties"]
        if existing := self._conflict(properties, None):
            return _error(409, "CONFLICT", f"Contact already exists. Existing ID: {existing}")
        if problems := self._problems(properties, None):
            return _error(400, "VALIDATION_ERROR", _invalid(problems))
        record_id = self.add_contact(**properties)
        self.writes[record_id] += 1
        return Reply(201, self._shown(record_id, list(properties)))

    def _write(self, record_id: str, properties: Json) -> None:
        self.contacts[record_id] |= properties
        self.writes[record_id] += 1

    def _conflict(self, properties: Json, own: str | None) -> str | None:
        unique = [n for n, p in self.properties.items() if n == "email" or p["hasUniqueValue"]]
        for name in unique:
            if (value := properties.get(name)) and (found := self._find(name, value)) not in (
                None,
                own,
            ):
                return found
        return None

    def _problems(self, properties: Json, own: str | None) -> list[Json]:
        found = [self._problem(name, value) for name, value in properties.items()]
        problems = [problem for problem in found if problem]
        if own is not None and (existing := self._conflict(properties, own)):
            problems.append(
                _problem("email", "CONFLICTING_UNIQUE_VALUE", f"A contact has it: {existing}")
            )
        return problems

    def _problem(self, name: str, value: Any) -> Json | None:
        definition = self.properties.get(name)
        if definition is None:
            return _problem(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        if definition["modificationMetadata"]["readOnlyValue"]:
            return _problem(name, "READ_ONLY_VALUE", f'"{name}" is a read only property')
        if value == "" or value is None:
            return None
        return _check_value(definition, str(value))

    def _shown(self, record_id: str, names: Iterable[str]) -> Json:
        record = self.contacts[record_id] | self._calculated(record_id)
        properties = {name: record.get(name) for name in names if name in self.properties}
        return {
            "id": record_id,
            "properties": {"hs_object_id": record_id} | properties,
            "createdAt": "2024-05-01T08:00:00Z",
            "updatedAt": "2026-01-01T00:00:00Z",
            "archived": False,
        }

    def _traced(self, one: Json, record_id: str) -> Json:
        shown = self._shown(record_id, list(one["properties"]))
        trace = one.get("objectWriteTraceId")
        return shown | ({"objectWriteTraceId": trace} if trace else {})

    def _calculated(self, record_id: str) -> Json:
        record = self.contacts[record_id]
        return {
            f"hs_searchable_calculated_{kind}_number": _national(record.get(name) or "")
            for name, kind in (("phone", "phone"), ("mobilephone", "mobile"))
        }

    # Search

    def _search(self, call: Call) -> Reply:
        groups = call.body["filterGroups"]
        filters = [one for group in groups for one in group["filters"]]
        if len(groups) > 5 or len(filters) > 18 or call.body.get("limit", 10) > 200:
            return _error(400, "VALIDATION_ERROR", "The search has too many filters or results")
        found = [] if self.index_lags else list(self.contacts)
        found = [i for i in found if any(self._matches(i, group["filters"]) for group in groups)]
        shown = [self._shown(i, call.body["properties"]) for i in found]
        limit = call.body.get("limit", 10)
        return Reply(200, {"total": len(shown), "results": shown[:limit]})

    def _matches(self, record_id: str, filters: list[Json]) -> bool:
        record = self.contacts[record_id] | self._calculated(record_id)
        for one in filters:
            value = str(record.get(one["propertyName"]) or "")
            wanted = one["values"] if one["operator"] == "IN" else [one["value"]]
            if value.lower() not in [str(w).lower() for w in wanted]:
                return False
        return True

    # Activities

    def _log_activity(self, call: Call, kind: str) -> Reply:
        properties, associations = call.body["properties"], call.body["associations"]
        if "hs_timestamp" not in properties:
            return _error(400, "VALIDATION_ERROR", "Property hs_timestamp is required")
        targets = [one["to"]["id"] for one in associations]
        if missing := [record_id for record_id in targets if record_id not in self.contacts]:
            return _error(400, "VALIDATION_ERROR", f"CONTACT={missing[0]} is not valid")
        activity = {"id": str(self._next_id), "kind": kind, "contacts": targets} | properties
        activity["association_types"] = [
            one["associationTypeId"] for a in associations for one in a["types"]
        ]
        self._next_id += 1
        self.activities.append(activity)
        return Reply(201, {"id": activity["id"], "properties": properties})

    def _change_activity(self, call: Call, kind: str, activity_id: str) -> Reply:
        for one in self.activities:
            if (one["kind"], one["id"]) == (kind, activity_id):
                one.update(call.body["properties"])
                return Reply(200, {"id": activity_id, "properties": call.body["properties"]})
        return Reply(404, "")


def _error(status: int, category: str, message: str, **extra: Any) -> Reply:
    body = {
        "status": "error",
        "message": message,
        "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf",
        "category": category,
    }
    return Reply(status, body | extra)


def _too_many(policy: str, word: str) -> Reply:
    body = {
        "status": "error",
        "message": f"You have reached your {word} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": "c033cdaa-2c40-4a64-ae48-b4cec88dad24",
        "policyName": policy,
        "groupName": "publicapi:private-apps-api-calls",
    }
    return Reply(429, body)


def _problem(name: str, code: str, message: str) -> Json:
    return {"isValid": False, "message": message, "error": code, "name": name}


def _invalid(problems: list[Json]) -> str:
    return f"Property values were not valid: {json.dumps(problems)}"


def _item_error(problems: list[Json], one: Json) -> Json:
    return {
        "status": "error",
        "category": "VALIDATION_ERROR",
        "message": _invalid(problems),
        "context": {"objectWriteTraceId": [one["objectWriteTraceId"]]},
    }


def _not_found(ids: list[str]) -> Json:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": "Could not get some CONTACT objects, they may be deleted or not exist. Check "
        "that ids are valid.",
        "context": {"ids": ids},
    }


def _check_value(definition: Json, value: str) -> Json | None:
    """Return what HubSpot says about a value that doesn't fit its property."""
    name, kind = definition["name"], definition["type"]
    options = [option["value"] for option in definition["options"]]
    if kind == "enumeration":
        several = definition["fieldType"] == "checkbox"
        for one in value.split(";") if several else [value]:
            if one not in options:
                return _problem(
                    name,
                    "INVALID_OPTION",
                    f"{one} was not one of the allowed options: [{', '.join(options)}]",
                )
    if kind == "bool" and value not in ("true", "false"):
        return _problem(name, "INVALID_OPTION", f"{value} was not one of the allowed options")
    if kind == "number" and not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        return _problem(name, "INVALID_DOUBLE", f"{value} was not a valid number.")
    if kind == "date" and not _is_date(value):
        return _problem(name, "INVALID_DATE", f"{value} was not a valid date.")
    if kind == "datetime" and not _is_time(value):
        return _problem(name, "INVALID_LONG", f"{value} was not a valid long.")
    if kind == "string" and len(value) > 65_536:
        return _problem(
            name, "PROPERTY_VALUE_TOO_LONG", "The value is longer than 65536 characters"
        )
    if name == "email" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
        return _problem(name, "INVALID_EMAIL", f"Email address {value} is invalid")
    return None


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return len(value) == 10


def _is_time(value: str) -> bool:
    try:
        return value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _national(number: str) -> str:
    """Return the number without its country, for the numbers that tests use (+1, +49)."""
    digits = re.sub(r"\D", "", number)
    if number.startswith("+49"):
        return digits[2:]
    return digits[1:] if len(digits) == 11 and digits.startswith("1") else digits
