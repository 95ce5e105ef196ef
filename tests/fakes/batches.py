"""Files and batches of the fake provider, as OpenAI documents its Batch API.

The control ``batches`` is an object:

``absent``   true: there is no such API (404)
``fates``    what becomes of the next batches, one each: "ok"; "expire": it ends after 24 hours,
             with `share` of its lines answered; "invalid": its file fails validation; "hold": it
             stays in progress
``always``   the fate of all others ("ok")
``share``    the share of lines that are answered before a batch expires or is canceled (0.5)
``queue``    input tokens that may wait; a batch above fails after its creation was accepted
``lose``     "upload", "create", or "download": the next such request is done, or half done, and
             its connection is lost
``twice``    how many lines of each output come twice; ``strange``: lines that nobody sent;
             ``missing``: answered lines that are in no file

Each look at a batch moves it on by one state. Lines come back in another order.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import BodyPartReader, web

from apps.llm.tokens import estimate_tokens

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]

_CREATED = 1_750_000_000
_NEXT = {"validating": "in_progress", "in_progress": "finalizing", "finalizing": "completed"}
_ENDED = ("completed", "failed", "expired", "cancelled")


class Batches:
    """What was uploaded and what became of it."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.deleted = 0
        self.asked: Counter[str] = Counter()
        self.sizes: list[int] = []

    def stats(self) -> dict[str, Any]:
        """Return the files that are left, the state of each batch, and how often each was asked."""
        return {
            "files": [one["filename"] for one in self.files.values()],
            "deleted": self.deleted,
            "states": [one["status"] for one in self.batches.values()],
            "sizes": self.sizes,
            "lines": sum(self.asked.values()),
            "repeated": sum(1 for count in self.asked.values() if count > 1),
        }

    async def handle(
        self, request: web.BaseRequest, control: dict[str, Any], answer: Answer
    ) -> web.StreamResponse:
        """Answer a request for a file or a batch."""
        if control.get("absent"):
            return _missing("There is no such path.")
        parts = request.path.removeprefix("/v1/").split("/")
        if parts[0] == "files":
            return await self._files(request, parts[1:], control)
        if len(parts) == 1:
            if request.method == "POST":
                return await self._create(request, control)
            return self._listed(request, list(self.batches.values())[::-1], "batch")
        batch = self.batches.get(parts[1])
        if batch is None:
            return _missing(f"No batch found with id '{parts[1]}'.")
        if parts[2:] == ["cancel"]:
            if batch["status"] in _ENDED:
                return _refused(f"Cannot cancel a batch with status '{batch['status']}'.")
            batch["status"] = "cancelling"
        else:
            self._move(batch, control, answer)
        return _json(_shown(batch))

    def _listed(
        self, request: web.BaseRequest, rows: list[dict[str, Any]], kind: str
    ) -> web.Response:
        limit, after = int(request.query.get("limit", 20)), request.query.get("after")
        ids = [row["id"] for row in rows]
        start = ids.index(after) + 1 if after in ids else 0
        page = rows[start : start + limit]
        return _json(
            {
                "object": "list",
                "data": [_shown(row) for row in page],
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
                "has_more": start + limit < len(rows),
            }
        )

    async def _files(
        self, request: web.BaseRequest, parts: list[str], control: dict[str, Any]
    ) -> web.StreamResponse:
        if not parts:
            if request.method == "GET":
                rows = [f for f in self.files.values() if f["purpose"] == "batch"]
                return self._listed(request, rows[::-1], "file")
            return await self._upload(request, control)
        known = self.files.get(parts[0])
        if known is None:
            return _missing(f"No such File object: {parts[0]}")
        if request.method == "DELETE":
            del self.files[parts[0]]
            self.deleted += 1
            return _json({"id": parts[0], "object": "file", "deleted": True})
        if parts[1:] == ["content"]:
            return await self._content(request, known["content"], control)
        return _json(_shown(known))

    async def _content(
        self, request: web.BaseRequest, content: bytes, control: dict[str, Any]
    ) -> web.StreamResponse:
        if control.get("lose") != "download":
            return web.Response(body=content, content_type="application/octet-stream")
        control["lose"] = ""
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        _hang_up(request)
        return response

    async def _upload(self, request: web.BaseRequest, control: dict[str, Any]) -> web.Response:
        # In chunks: a form or a part that is read as a whole has a limit of 1 MB.
        name, content, purpose = "", b"", ""
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "file":
                name, content = part.filename or "", b""
                while chunk := await part.read_chunk(262_144):
                    content += chunk
            elif part.name == "purpose":
                purpose = await part.text()
        made = self._store(name, content, purpose)
        if control.get("lose") == "upload":
            control["lose"] = ""
            _hang_up(request)
        return _json(_shown(made))

    def _store(self, name: str, content: bytes, purpose: str) -> dict[str, Any]:
        made: dict[str, Any] = {
            "id": f"file-{len(self.files) + self.deleted + 1}",
            "object": "file",
            "bytes": len(content),
            "created_at": _CREATED,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
            "content": content,
        }
        self.files[made["id"]] = made
        return made

    async def _create(self, request: web.BaseRequest, control: dict[str, Any]) -> web.Response:
        body = json.loads(await request.read())
        source = self.files.get(body["input_file_id"])
        if source is None:
            return _missing(f"No such File object: {body['input_file_id']}")
        fates = control.get("fates") or []
        lines = [json.loads(line) for line in source["content"].splitlines()]
        self.sizes.append(len(lines))
        batch = {
            "id": f"batch_{len(self.batches) + 1}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "completion_window": body["completion_window"],
            "input_file_id": source["id"],
            "status": "validating",
            "created_at": _CREATED,
            "metadata": body.get("metadata"),
            "errors": None,
            "output_file_id": None,
            "error_file_id": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "fate": fates.pop(0) if fates else control.get("always", "ok"),
            "lines": lines,
            "tokens": sum(_tokens(line["body"]) for line in lines),
        }
        self.batches[batch["id"]] = batch
        if control.get("lose") == "create":
            control["lose"] = ""
            _hang_up(request)
        return _json(_shown(batch))

    def _move(self, batch: dict[str, Any], control: dict[str, Any], answer: Answer) -> None:
        """Move a batch on by one state."""
        status = batch["status"]
        if status in _ENDED:
            return
        if status == "validating" and (problem := self._problem(batch, control)):
            batch |= {"status": "failed", "errors": {"object": "list", "data": [problem]}}
        elif status == "cancelling":
            self._finish(batch, "cancelled", control, answer)
        elif status == "in_progress" and batch["fate"] == "hold":
            batch["request_counts"]["completed"] = int(
                len(batch["lines"]) * control.get("share", 0.5)
            )
        elif status == "in_progress" and batch["fate"] == "expire":
            self._finish(batch, "expired", control, answer)
        elif status == "finalizing":
            self._finish(batch, "completed", control, answer)
        else:
            batch["status"] = _NEXT[status]
            batch["request_counts"]["total"] = len(batch["lines"])

    def _problem(self, batch: dict[str, Any], control: dict[str, Any]) -> dict[str, Any] | None:
        if batch["fate"] == "invalid":
            words = "This line is not parseable as valid JSON."
            return {"code": "invalid_json_line", "message": words, "line": 1, "param": None}
        waiting = sum(b["tokens"] for b in self.batches.values() if b["status"] not in _ENDED)
        if control.get("queue") and waiting > control["queue"]:
            words = f"Enqueued token limit reached. Limit: {control['queue']:,} enqueued tokens."
            return {"code": "token_limit_exceeded", "message": words, "line": None, "param": None}
        names = {line["body"]["model"] for line in batch["lines"]}
        ids = [line["custom_id"] for line in batch["lines"]]
        if len(names) > 1 or len(set(ids)) < len(ids) or not ids:
            return {"code": "mismatched_model", "message": "One model.", "line": 1, "param": None}
        return None

    def _finish(
        self, batch: dict[str, Any], status: str, control: dict[str, Any], answer: Answer
    ) -> None:
        """End a batch: answer its lines, or only a share of them, and write its files."""
        chance = random.Random(batch["id"])
        lines = list(batch["lines"])
        chance.shuffle(lines)
        whole = status == "completed"
        count = len(lines) if whole else int(len(lines) * control.get("share", 0.5))
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        for number, line in enumerate(lines[:count]):
            self.asked[line["custom_id"]] += 1
            code, body = answer(line["body"])
            response = {"status_code": code, "request_id": f"req_{number}", "body": body}
            row = {"id": f"batch_req_{number}", "custom_id": line["custom_id"], "error": None}
            (good if code == 200 else bad).append({**row, "response": response})
        error = {"code": f"batch_{status}", "message": "This request could not be executed."}
        bad += [
            {"custom_id": line["custom_id"], "response": None, "error": error}
            for line in lines[count:]
        ]
        counts = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        good = good[control.get("missing", 0) :]
        good += good[: control.get("twice", 0)]
        for number in range(control.get("strange", 0)):
            good.append({"custom_id": f"other-{number}", "response": None, "error": error})
        batch |= {"status": status, "request_counts": counts}
        for key, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                text = "\n".join(json.dumps(row) for row in rows) + "\n"
                stored = self._store(f"{batch['id']}_{key}.jsonl", text.encode(), "batch_output")
                batch[key] = stored["id"]


def _tokens(body: dict[str, Any]) -> int:
    return sum(estimate_tokens(message["content"] or "") for message in body["messages"])


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    hidden = ("content", "lines", "fate", "tokens")
    return {name: value for name, value in row.items() if name not in hidden}


def _hang_up(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=json.dumps(value).encode(), status=status, content_type="application/json"
    )


def _refused(message: str) -> web.Response:
    return _json({"error": {"message": message, "type": "invalid_request_error"}}, 400)


def _missing(message: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "code": None, "param": "id"}
    return _json({"error": error}, 404)
