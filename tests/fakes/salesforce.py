"""Salesforce's REST API, as far as the connector speaks to it: tokens, SOQL, collections, tasks.

Shapes and codes are those of Salesforce's REST reference and of the models in simple-salesforce.
See the section on Salesforce in ``docs/crm.md``.
"""

import base64
import re
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from tests.fakes.vendor_server import Call, Reply, VendorServer

CLIENT_ID, CLIENT_SECRET = "3MVG9consumerkey", "CONSUMERSECRET"
VERSION = "v65.0"

Json = dict[str, Any]
_DATA = f"/services/data/{VERSION}"
_TYPES_WITH_LENGTH = {"string": 255, "textarea": 32_768, "email": 80, "phone": 40}


def field(name: str, kind: str = "string", *options: str, **extra: Any) -> Json:
    """Return the description of a field. Labels of options differ from their values."""
    return {
        "name": name,
        "label": name.removesuffix("__c").replace("_", " "),
        "type": kind,
        "length": _TYPES_WITH_LENGTH.get(kind, 0),
        "updateable": True,
        "createable": True,
        "externalId": False,
        "unique": False,
        "restrictedPicklist": bool(options),
        "picklistValues": [
            {"active": True, "value": one, "label": one.replace("_", " ").title()}
            for one in options
        ],
    } | extra


def _contact_fields() -> list[Json]:
    fixed = {"updateable": False, "createable": False}
    return [
        field("Id", "id", **fixed),
        field("FirstName", length=40),
        field("LastName", length=80),
        field("Email", "email"),
        field("Phone", "phone"),
        field("MobilePhone", "phone"),
        field("HomePhone", "phone"),
        field("OtherPhone", "phone"),
        field("Description", "textarea", length=32_000),
        field("AccountId", "reference"),
        field("CreatedDate", "datetime", **fixed),
    ]


def _task_fields() -> list[Json]:
    names = ("WhoId", "Subject", "Status", "TaskSubtype", "Description", "CallType")
    fields = [field(name) for name in (*names, "CallDisposition", "CallObject")]
    fields[4]["length"] = 32_000
    return [*fields, field("ActivityDate", "date"), field("CallDurationInSeconds", "int")]


class SalesforceServer(VendorServer):
    """One organization.

    ``contacts`` maps record ids to their fields, ``tasks`` holds activities. ``writes`` counts how
    often each contact was written, ``tokens`` how many tokens were issued. ``daily`` requests are
    taken in 24 hours. ``locked`` are ids that can't be locked for the next write. ``validation``
    may return a message of a validation rule for a record.
    """

    def __init__(self) -> None:
        self.client = (CLIENT_ID, CLIENT_SECRET)
        self.token_error: tuple[str, str] | None = None
        self.fields = {one["name"]: one for one in _contact_fields()}
        self.task_fields = {one["name"]: one for one in _task_fields()}
        self.silent_fields: set[str] = set()
        self.contacts: dict[str, Json] = {}
        self.deleted: set[str] = set()
        self.tasks: dict[str, Json] = {}
        self.writes: Counter[str] = Counter()
        self.tokens = 0
        self.daily = 100_000
        self.used = 0
        self.locked: set[str] = set()
        self.validation: Callable[[Json], str] = lambda record: ""
        self.duplicate_rule = False
        self._valid: set[str] = set()
        self._next_id = 1
        super().__init__()

    def add_field(self, name: str, kind: str = "string", *options: str, **extra: Any) -> None:
        self.fields[name] = field(name, kind, *options, **extra)

    def add_contact(self, **values: Any) -> str:
        """Store a contact and return its record id."""
        record_id = f"003{self._next_id:012d}AAA"
        self._next_id += 1
        self.contacts[record_id] = values
        return record_id

    def expire_tokens(self) -> None:
        """End every session, as an admin or the time-out does."""
        self._valid.clear()

    # Requests

    def handle(self, call: Call) -> Reply:
        if call.path == "/services/oauth2/token":
            return self._issue(call)
        if call.headers.get("authorization", "").removeprefix("Bearer ") not in self._valid:
            return _error(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if self.used >= self.daily:
            return _error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        self.used += 1
        reply = self._route(call)
        usage = {"Sforce-Limit-Info": f"api-usage={self.used}/{self.daily}"}
        return Reply(reply.status, reply.body, usage)

    def _issue(self, call: Call) -> Reply:
        if self.token_error:
            error, description = self.token_error
            return Reply(400, {"error": error, "error_description": description})
        given = base64.b64decode(call.headers["authorization"].removeprefix("Basic ")).decode()
        if call.body != {"grant_type": "client_credentials"}:
            return Reply(400, {"error": "unsupported_grant_type", "error_description": "…"})
        if given != ":".join(self.client):
            known = given.split(":")[0] == self.client[0]
            body = ("invalid_client", "invalid client credentials")
            if not known:
                body = ("invalid_client_id", "client identifier invalid")
            return Reply(400, {"error": body[0], "error_description": body[1]})
        self.tokens += 1
        token = f"00D000000000001!token{self.tokens}"
        self._valid.add(token)
        return Reply(
            200,
            {
                "access_token": token,
                "signature": "c2lnbmF0dXJl",
                "scope": "api",
                "instance_url": self.url,
                "id": f"{self.url}/id/00D000000000001/005000000000001",
                "token_type": "Bearer",
                "issued_at": "1735689600000",
            },
        )

    def _route(self, call: Call) -> Reply:
        routes: list[tuple[str, str, Callable[..., Reply]]] = [
            ("GET", f"{_DATA}/sobjects/(Contact|Task)/describe", self._describe),
            ("GET", f"{_DATA}/query", self._query),
            ("PATCH", f"{_DATA}/composite/sobjects", self._update),
            ("POST", f"{_DATA}/composite/sobjects", self._create),
            ("PATCH", f"{_DATA}/composite/sobjects/Contact/([^/]+)", self._upsert),
            ("POST", f"{_DATA}/sobjects/Task", self._add_task),
            ("PATCH", f"{_DATA}/sobjects/Task/([^/]+)", self._change_task),
        ]
        for method, pattern, view in routes:
            if call.method == method and (found := re.fullmatch(pattern, call.path)):
                return view(call, *found.groups())
        return _error(404, "NOT_FOUND", "The requested resource does not exist")

    def _describe(self, call: Call, kind: str) -> Reply:
        fields = self.fields if kind == "Contact" else self.task_fields
        return Reply(200, {"name": kind, "fields": list(fields.values())})

    # Queries

    def _query(self, call: Call) -> Reply:
        """Answer the queries that the connector makes: IN, =, AND, OR, LIMIT."""
        parsed = re.fullmatch(
            r"SELECT (.+?) FROM (\w+)(?: WHERE (.+?))?(?: LIMIT (\d+))?", call.query["q"]
        )
        if parsed is None:
            return _error(400, "MALFORMED_QUERY", f"unexpected token: {call.query['q'][:40]}")
        names = [one.strip() for one in parsed[1].split(",")]
        known = (self.fields if parsed[2] == "Contact" else self.task_fields) | {"Id": {}}
        if unknown := [one for one in names if one not in known]:
            return _error(400, "INVALID_FIELD", f"No such column '{unknown[0]}' on {parsed[2]}")
        table = self.contacts if parsed[2] == "Contact" else self.tasks
        alive = [(i, row) for i, row in table.items() if i not in self.deleted]
        holds = _condition(parsed[3])
        rows = [(i, row) for i, row in alive if holds(row)]
        records = [
            {"attributes": {"type": parsed[2]}}
            | {name: record_id if name == "Id" else row.get(name) for name in names}
            for record_id, row in rows[: int(parsed[4] or 2_000)]
        ]
        return Reply(200, {"totalSize": len(records), "done": True, "records": records})

    # Collections

    def _update(self, call: Call) -> Reply:
        return self._each(call, self._update_one)

    def _create(self, call: Call) -> Reply:
        return self._each(call, self._create_one)

    def _upsert(self, call: Call, external: str) -> Reply:
        if not self.fields.get(external, {}).get("externalId"):
            return _error(
                400, "NOT_FOUND", f"Provided external ID field does not exist: {external}"
            )

        def upsert_one(record: Json) -> Json:
            key = record.get(external)
            same = [i for i, row in self.contacts.items() if row.get(external) == key]
            if len(same) > 1:
                return _failed("DUPLICATE_EXTERNAL_ID", f"{len(same)} records have {key}")
            result = self._save(same[0], record) if same else self._create_one(record)
            return result | {"created": not same}

        return self._each(call, upsert_one)

    def _each(self, call: Call, save: Callable[[Json], Json]) -> Reply:
        records = call.body["records"]
        if len(records) > 200:
            return _error(
                400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200"
            )
        if unknown := {n for one in records for n in one} - {"attributes", "id", *self.fields}:
            return _error(
                400, "INVALID_FIELD", f"No such column '{min(unknown)}' on sobject of type Contact"
            )
        return Reply(200, [save(one) for one in records])

    def _update_one(self, record: Json) -> Json:
        record_id = record["id"]
        if record_id in self.deleted:
            return _failed("ENTITY_IS_DELETED", "entity is deleted")
        if record_id not in self.contacts:
            return _failed("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return self._save(record_id, record)

    def _create_one(self, record: Json) -> Json:
        if not record.get("LastName"):
            message = "Required fields are missing: [LastName]"
            return _failed("REQUIRED_FIELD_MISSING", message, ["LastName"])
        emails = [row.get("Email") for row in self.contacts.values()]
        if self.duplicate_rule and record.get("Email") in emails:
            return _failed("DUPLICATES_DETECTED", "Use one of these records?")
        if problem := self._problem(record):
            return problem
        record_id = self.add_contact()
        return self._save(record_id, record)

    def _save(self, record_id: str, record: Json) -> Json:
        if record_id in self.locked:
            self.locked.discard(record_id)
            return _failed("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
        if problem := self._problem(record):
            return problem
        values = {n: v for n, v in record.items() if n not in ("attributes", "id")}
        kept = {n: v for n, v in values.items() if n not in self.silent_fields}
        self.contacts[record_id] |= kept
        self.writes[record_id] += 1
        return {"id": record_id, "success": True, "errors": []}

    def _problem(self, record: Json) -> Json | None:
        if message := self.validation(record):
            return _failed("FIELD_CUSTOM_VALIDATION_EXCEPTION", message)
        for name, value in record.items():
            described = self.fields.get(name)
            if described and (found := _check_value(described, value)):
                return found
        return None

    # Tasks

    def _add_task(self, call: Call) -> Reply:
        if call.body["WhoId"] not in self.contacts:
            return _error(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if unknown := set(call.body) - set(self.task_fields):
            return _error(400, "INVALID_FIELD", f"No such column '{min(unknown)}' on Task")
        if len(call.body.get("Description", "")) > self.task_fields["Description"]["length"]:
            return _error(400, "STRING_TOO_LONG", "Comments: data value too large")
        task_id = f"00T{self._next_id:012d}AAA"
        self._next_id += 1
        self.tasks[task_id] = dict(call.body)
        return Reply(201, {"id": task_id, "success": True, "errors": []})

    def _change_task(self, call: Call, task_id: str) -> Reply:
        if task_id not in self.tasks:
            return _error(404, "ENTITY_IS_DELETED", "entity is deleted")
        self.tasks[task_id] |= call.body
        return Reply(204)


def _error(status: int, code: str, message: str) -> Reply:
    return Reply(status, [{"message": message, "errorCode": code}])


def _failed(code: str, message: str, names: list[str] | None = None) -> Json:
    error = {"statusCode": code, "message": message, "fields": names or []}
    return {"success": False, "errors": [error]}


def _check_value(described: Json, value: Any) -> Json | None:
    """Return the failure for a value that doesn't fit its field."""
    name, kind = described["name"], described["type"]
    label = described["label"]
    if value is None:
        if kind == "boolean":
            return _failed("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{label}: not null", [name])
        return None
    text = str(value)
    length = described["length"]
    if length and len(text.encode("utf-16-le")) // 2 > length:
        message = f"{label}: data value too large: {text[:20]} (max length={length})"
        return _failed("STRING_TOO_LONG", message, [name])
    values = [one["value"] for one in described["picklistValues"]]
    chosen = text.split(";") if kind == "multipicklist" else [text]
    if described["restrictedPicklist"] and not set(chosen) <= set(values):
        message = f"{label}: bad value for restricted picklist field: {text}"
        return _failed("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [name])
    if not _has_type(kind, value):
        return _failed("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{label}: value not of type", [name])
    if not described["updateable"]:
        message = f"Unable to create/update fields: {name}. Please check the security settings"
        return _failed("INVALID_FIELD_FOR_INSERT_UPDATE", message, [name])
    return None


def _has_type(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("double", "currency", "percent"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    try:
        if kind == "date":
            date.fromisoformat(value)
        if kind == "datetime":
            return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False
    return True


_TERM = re.compile(r"(\w+) (?:IN \((.*?)\)|= ('(?:[^'\\]|\\.)*'))(?= AND | OR |$)")
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'")


def _condition(text: str | None) -> Callable[[Json], bool]:
    """Return the test of a row for terms that are joined by AND, or by OR."""
    if text is None:
        return lambda row: True
    terms = [
        (term[1], {_unquoted(one).lower() for one in _LITERAL.findall(term[2] or term[3])})
        for term in _TERM.finditer(text)
    ]
    joined = all if " AND " in text else any
    return lambda row: joined(str(row.get(name) or "").lower() in wanted for name, wanted in terms)


def _unquoted(literal: str) -> str:
    named = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
    return re.sub(r"\\(.)", lambda found: named.get(found[1], found[1]), literal)
