"""A server that speaks the OpenAI protocol, answers what it is asked for, and fails on demand.

Run it as ``python -m tests.fakes.openai_server --port 0 --latency 0.2``; its first line of output
is its base URL. It answers ``POST /v1/chat/completions`` with an instance of the schema that the
request carries (strict ``json_schema``, tool parameters, or the schema found in the prompt of JSON
mode), refuses with 400 what a real strict mode refuses, and reports honest usage with cached
tokens for a beginning that it has seen before, and the service tier that it used.

``POST /control`` sets how it behaves, ``GET /control`` says what it has seen:

``reset``        forget everything, behave well
``latency``      seconds before each answer; ``jitter`` adds up to that share at random
``script``       a list of behaviours, one for each of the next requests
``always``       the behaviour of all others ("ok")
``raw``          a list of {status, body, headers}, sent as they are to the next requests
``raw_always``   one of these for all others
``probability``  {behaviour: share}, with ``seed``
``models``       {model name: behaviour}
``quota_after``  requests after which the account is empty
``refuse``       what it does not know: json_schema, bounds, tools, json_object, cap, cache_key
``record``       how many of the last bodies and arrival times to keep (50)
``key``          the only API key it takes
``per_second``   requests that it takes per second, by a bucket of one second; 429 for the others
``down_for``     seconds from now on in which everything is answered 503
``answers``      {text: {field: value}}: what the question that contains the text is answered
``nulls``        true: one field in eight that may be null is null, by the question
``flex``         what a request at the flex tier meets: "ok"; "busy": 429 resource_unavailable;
                 "standard": an answer by the default tier; "unknown": 400
``flex_latency`` seconds before each answer at the flex tier, instead of ``latency``
``flex_busy``    how many of the next requests at the flex tier are refused as busy
``batches``      how files and batches behave: see `tests.fakes.batches`
``tokenizer``    "o200k" counts tokens as OpenAI's models do, the schema included; unset estimates

A transcript can carry its own fate: ``[[fake:refusal]]``, ``[[fake:late:3]]``, or, for the first
request only, ``[[fake:429 once]]``. ``[[id:NAME]]`` in a prompt names the conversation in the
counts; without it the hash of the first question does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import sys
import time
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

from apps.llm.tokens import estimate_tokens
from tests.fakes import behaviours, strict_rules
from tests.fakes.batches import Batches
from tests.fakes.instances import Dice, Maker, plan

_FATE = re.compile(r"\[\[fake:([a-z0-9_]+)(?::([\d.]+))?( once)?\]\]")
_ID = re.compile(r"\[\[id:([^\]]+)\]\]")
#: The random word of a transcript's fence and the time of its start: the same conversation gets
#: the same answer on any day.
_CHANGING = re.compile(r"(?<=transcript )\w+(?=>)|(?<=Started: )[^·\n]*")
_HUGE = "x" * (10 * 1024 * 1024)
_CREATED = 1_750_000_000


SETTINGS: dict[str, Callable[[Any], Any]] = {
    "script": deque,
    "refuse": set,
    "raw": deque,
    **dict.fromkeys(
        (
            *("latency", "jitter", "always", "probability", "models", "quota_after", "key"),
            *("nulls", "flex", "flex_busy", "flex_latency", "batches"),
            *("tokenizer", "raw_always", "answers"),
        ),
        lambda value: value,
    ),
}


class Bucket:
    """A limit of requests per second."""

    def __init__(self, per_second: float) -> None:
        self.per_second = self.tokens = per_second
        self.at = time.monotonic()

    def takes(self) -> bool:
        now = time.monotonic()
        refilled = self.tokens + (now - self.at) * self.per_second
        self.tokens, self.at = min(max(self.per_second, 1.0), refilled), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class State:
    """How the server behaves and what it has seen."""

    def __init__(self, latency: float = 0.0) -> None:
        self.start_latency = latency
        self.reset()

    def reset(self) -> None:
        self.latency = self.start_latency
        self.jitter = 0.0
        self.script: deque[str] = deque()
        self.always = "ok"
        self.raw: deque[dict[str, Any]] = deque()
        self.raw_always: dict[str, Any] | None = None
        self.probability: dict[str, float] = {}
        self.models: dict[str, str] = {}
        self.quota_after: int | None = None
        self.refuse: set[str] = set()
        self.key: str | None = None
        self.tokenizer: str | None = None
        self.bucket: Bucket | None = None
        self.down_until = 0.0
        self.nulls = False
        self.flex = "ok"
        self.flex_busy = 0
        self.flex_latency: float | None = None
        self.batches: dict[str, Any] = {}
        self.shop = Batches()
        self.tiers: Counter[str] = Counter()
        self.answers: dict[str, dict[str, Any]] = {}
        self.random = random.Random(0)
        self.bodies: deque[dict[str, Any]] = deque(maxlen=50)
        self.headers: deque[dict[str, str]] = deque(maxlen=50)
        self.arrivals: deque[float] = deque(maxlen=100_000)
        self.total = self.in_flight = self.peak = 0
        self.input_tokens = self.cached_tokens = self.output_tokens = 0
        self.outcomes: Counter[str] = Counter()
        self.conversations: Counter[str] = Counter()
        self.fated: set[str] = set()
        self.prefixes: OrderedDict[str, int] = OrderedDict()
        self.seen: set[str] = set()

    def set(self, change: dict[str, Any]) -> None:
        if change.pop("reset", False):
            self.reset()
        for name, value in change.items():
            if name == "record":
                self.bodies = deque(self.bodies, maxlen=value)
                self.headers = deque(self.headers, maxlen=value)
            elif name == "per_second":
                self.bucket = Bucket(value) if value else None
            elif name == "down_for":
                self.down_until = time.monotonic() + value
            elif name == "seed":
                self.random = random.Random(value)
            elif name in SETTINGS:
                setattr(self, name, SETTINGS[name](value))
            else:
                raise ValueError(f"there is no control named {name}")
        for kind in [*self.script, self.always, *self.probability, *self.models.values()]:
            if kind.partition(":")[0] not in behaviours.ALL:
                raise ValueError(f"there is no behaviour named {kind}")

    def unable(self) -> str | None:
        """What the server meets everybody with at this moment: an outage, a limit."""
        if time.monotonic() < self.down_until:
            return "503"
        if self.bucket is not None and not self.bucket.takes():
            return "429"
        if self.quota_after is not None and self.total > self.quota_after:
            return "quota"
        return None

    def stats(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "in_flight": self.in_flight,
            "peak": self.peak,
            "outcomes": self.outcomes,
            "conversations": self.conversations,
            "tiers": self.tiers,
            "batches": self.shop.stats(),
            "usage": {
                "input": self.input_tokens,
                "cached": self.cached_tokens,
                "output": self.output_tokens,
            },
            "bodies": list(self.bodies),
            "headers": list(self.headers),
            "arrivals": list(self.arrivals),
        }


class Plans:
    """Schemas met before: what refuses them, and what makes their answers."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, bool, bool], tuple[str | None, Maker]] = OrderedDict()

    def get(self, schema: Any, *, strict: bool, bounds: bool) -> tuple[str | None, Maker]:
        key = (json.dumps(schema), strict, bounds)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._plan(schema, strict=strict, bounds=bounds)
            if len(self._known) > 500:
                self._known.popitem(last=False)
        return known

    def _plan(self, schema: Any, *, strict: bool, bounds: bool) -> tuple[str | None, Maker]:
        def nothing(dice: Dice, depth: int) -> Any:
            return {}

        if strict:
            try:
                strict_rules.check(schema, bounds=bounds)
            except strict_rules.Refused as refusal:
                return str(refusal), nothing
        return None, plan(schema) if isinstance(schema, dict) else nothing


class Server:
    """The handler of all paths."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.plans = Plans()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.endswith("/chat/completions") and request.method == "POST":
            return await self.completion(request)
        if path == "/control":
            return await self.control(request)
        if path.startswith(("/v1/files", "/v1/batches")):
            if self.state.key and request.headers.get("Authorization") != (
                f"Bearer {self.state.key}"
            ):
                return _error(*behaviours.ERRORS["401"])
            return await self.state.shop.handle(request, self.state.batches, self.line)
        if path.endswith("/models"):
            return _json({"object": "list", "data": [{"id": "fake", "object": "model"}]})
        return _error(404, {"message": f"There is no {path}.", "type": "invalid_request_error"})

    async def control(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            try:
                self.state.set(await request.json())
            except ValueError as error:
                return _error(400, {"message": str(error)})
        return _json(self.state.stats())

    async def completion(self, request: web.BaseRequest) -> web.StreamResponse:
        state = self.state
        state.arrivals.append(time.time())
        state.total += 1
        state.in_flight += 1
        state.peak = max(state.peak, state.in_flight)
        try:
            return await self.answer(request, json.loads(await request.read()))
        finally:
            state.in_flight -= 1

    async def answer(self, request: web.BaseRequest, body: dict[str, Any]) -> web.StreamResponse:
        state = self.state
        state.bodies.append(body)
        state.headers.append(dict(request.headers))
        last = body["messages"][-1]["content"] or ""
        # In the first question, which stands in every further one about the same conversation.
        asked = next((m["content"] for m in body["messages"] if m["role"] == "user"), last) or ""
        named = _ID.search(asked)
        state.conversations[named[1] if named else f"{zlib.crc32(asked.encode()):08x}"] += 1
        kind, _, argument = self.fate(body, asked).partition(":")
        state.outcomes[kind] += 1
        is_slow = body.get("service_tier") == "flex" and state.flex_latency is not None
        if latency := state.flex_latency if is_slow else state.latency:
            await asyncio.sleep(latency * (1 + state.jitter * state.random.random()))
        if state.key and request.headers.get("Authorization") != f"Bearer {state.key}":
            return _error(*behaviours.ERRORS["401"])
        if raw := state.raw.popleft() if state.raw else state.raw_always:
            return _raw(raw)
        if kind == "429_retry_after":
            headers = {"Retry-After": argument or "1"}
            return _error(*behaviours.ERRORS["429"], headers=headers)
        if kind in behaviours.ERRORS:
            return _error(*behaviours.ERRORS[kind])
        if (refused := self.refused_tier(body)) is not None:
            state.outcomes[refused] += 1
            return _error(*behaviours.ERRORS[refused])
        refusal, made = self.compose(body, asked, last, kind)
        if refusal is not None:
            state.outcomes["refused"] += 1
            return refusal
        return await self.deliver(request, kind, argument, made)

    def line(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer the request of one line of a batch: status and body."""
        asked = next((m["content"] for m in body["messages"] if m["role"] == "user"), "") or ""
        kind, _, _ = self.fate(body, asked).partition(":")
        self.state.outcomes[kind] += 1
        if kind in behaviours.ERRORS:
            status, error = behaviours.ERRORS[kind]
            return status, {"error": error}
        refusal, made = self.compose(body, asked, asked, kind)
        if isinstance(refusal, web.Response):
            return refusal.status, json.loads(refusal.text or "{}")
        return 200, json.loads(made)

    def refused_tier(self, body: dict[str, Any]) -> str | None:
        """Which error meets a request for its service tier."""
        state = self.state
        if body.get("service_tier") != "flex":
            return None
        if state.flex_busy:
            state.flex_busy -= 1
            return "no_capacity"
        return {"busy": "no_capacity", "unknown": "400_tier"}.get(state.flex)

    def fate(self, body: dict[str, Any], asked: str) -> str:
        """Which behaviour this request meets: the marker, the script, the model, chance."""
        state = self.state
        if (unable := state.unable()) is not None:
            return unable
        if "[[fake:" in asked and (marker := _FATE.search(asked)):
            kind, argument, once = marker.groups()
            if not once or asked not in state.fated:
                state.fated.add(asked)
                return f"{kind}:{argument}" if argument else str(kind)
        if state.script:
            return state.script.popleft()
        if (kind := state.models.get(body["model"])) is not None:
            return kind
        if state.probability:
            drawn = state.random.random()
            for kind, share in state.probability.items():
                drawn -= share
                if drawn < 0:
                    return kind
        return state.always

    def compose(
        self, body: dict[str, Any], asked: str, last: str, kind: str
    ) -> tuple[web.StreamResponse | None, bytes]:
        """A refusal, or the bytes of a (spoilt) answer."""
        schema, tool, refusal = self.asked_for(body)
        if refusal:
            return refusal, b""
        why, maker = self.plans.get(
            schema,
            strict=tool is None and body.get("response_format", {}).get("type") == "json_schema",
            bounds="bounds" not in self.state.refuse,
        )
        if why:
            return _error(400, {"message": why, "param": "response_format", "code": None}), b""
        last = _CHANGING.sub("", last)
        made = maker(Dice(last, last, nulls=self.state.nulls), 0)
        for part, answer in self.state.answers.items():
            if part in asked:
                made |= {name: value for name, value in answer.items() if name in made}
        text = json.dumps(made, ensure_ascii=False)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if tool:
            call = {"name": tool, "arguments": text}
            message |= {
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
            }
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        is_flex = body.get("service_tier") == "flex" and self.state.flex == "ok"
        tier = "flex" if is_flex else "default"
        self.state.tiers[tier] += 1
        answer = {
            "id": f"chatcmpl-{self.state.total}",
            "object": "chat.completion",
            "created": _CREATED,
            "model": body["model"],
            "choices": [choice],
            "usage": self.usage(body, text),
            "service_tier": tier,
        }
        if kind != "ok":
            changed = behaviours.spoil(kind, made, message)
            choice["finish_reason"] = changed.pop("finish_reason", "stop")
            answer |= changed
        return None, json.dumps(answer).encode()

    def asked_for(self, body: dict[str, Any]) -> tuple[Any, str | None, web.StreamResponse | None]:
        """The schema of the answer, the tool it goes through, or why the request is refused."""
        refuse = self.state.refuse
        for parameter, name in (
            ("max_completion_tokens", "cap"),
            ("prompt_cache_key", "cache_key"),
        ):
            if name in refuse and parameter in body:
                fault = {"message": f"Unsupported parameter: '{parameter}'.", "param": parameter}
                return None, None, _error(400, {**fault, "code": "unsupported_parameter"})
        if body.get("tools"):
            if "tools" in refuse:
                return None, None, _error(*behaviours.ERRORS["400_tools"])
            function = body["tools"][0]["function"]
            return function["parameters"], function["name"], None
        wanted = body.get("response_format") or {}
        if wanted.get("type") in refuse:
            fault = {"message": f"response_format {wanted['type']} is not supported."}
            return None, None, _error(400, {**fault, "param": "response_format"})
        if wanted.get("type") == "json_schema":
            return wanted["json_schema"]["schema"], None, None
        return _schema_in_prompt(body["messages"]), None, None

    def usage(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        state = self.state
        count = _tokens if state.tokenizer else estimate_tokens
        first = body["messages"][0]["content"] or ""
        if state.tokenizer:  # the schema stands before the first message and is cached with it
            first = json.dumps(body.get("response_format", {}), ensure_ascii=False) + first
        key = first + str(body.get("prompt_cache_key", ""))
        prefix = state.prefixes.get(first)
        if prefix is None:
            prefix = state.prefixes[first] = count(first)
            if len(state.prefixes) > 1_000:
                state.prefixes.popitem(last=False)
        rest = sum(4 + count(m["content"] or "") for m in body["messages"][1:])
        cached = prefix - prefix % 128 if key in state.seen and prefix >= 1_024 else 0
        state.seen.add(key)
        prompt, output = prefix + rest + 7, count(text)
        state.input_tokens += prompt
        state.cached_tokens += cached
        state.output_tokens += output
        return {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    async def deliver(
        self, request: web.BaseRequest, kind: str, argument: str, made: bytes
    ) -> web.StreamResponse:
        headers = {"x-request-id": f"req_{self.state.total}"}
        match kind:
            case "reset":
                if request.transport is not None:
                    request.transport.abort()
            case "hang":
                await asyncio.sleep(float(argument or 3600))
            case "late":
                await asyncio.sleep(float(argument or 2))
            case "html":
                return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
            case "drip" | "huge":
                return await _stream(request, kind, argument, made)
        return web.Response(body=made, content_type="application/json", headers=headers)


def _tokens(text: str) -> int:
    """Counted by the tokenizer of OpenAI's models; loaded by those who ask for it."""
    from rs_bpe.bpe import openai

    return int(openai.o200k_base().count(text))


def _schema_in_prompt(messages: list[dict[str, Any]]) -> Any:
    """The JSON Schema that a prompt for JSON mode carries, if it carries one."""
    for message in messages:
        text = message["content"] or ""
        start = text.find('{"type":"object"')
        if start >= 0:
            try:
                return json.JSONDecoder().raw_decode(text, start)[0]
            except ValueError:
                continue
    return {"type": "object", "properties": {}}


async def _stream(
    request: web.BaseRequest, kind: str, argument: str, made: bytes
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        if kind == "huge":
            text = json.dumps({"choices": [{"message": {"content": _HUGE}}]}).encode()
            for start in range(0, len(text), 65_536):
                await response.write(text[start : start + 65_536])
        else:
            for start in range(len(made)):
                await response.write(made[start : start + 1])
                await asyncio.sleep(float(argument or 0.2))
    except ConnectionError:
        pass
    return response


def _raw(answer: dict[str, Any]) -> web.Response:
    """An answer as it is told, with a body of text or of JSON."""
    body, headers = answer["body"], answer.get("headers")
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "text/plain" if isinstance(body, str) else "application/json"
    status = answer.get("status", 200)
    return web.Response(body=text.encode(), status=status, content_type=kind, headers=headers)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=json.dumps(value).encode(), status=status, content_type="application/json",
        headers=headers,
    )  # fmt: skip


def _error(
    status: int, error: dict[str, Any], headers: dict[str, str] | None = None
) -> web.Response:
    return _json({"error": error}, status, headers)


async def serve(port: int, latency: float) -> None:
    """Run until SIGTERM, SIGINT, or the end of standard input's writer."""
    server = web.Server(Server(State(latency)).handle, access_log=None, keepalive_timeout=75)
    listening = await asyncio.get_running_loop().create_server(
        server, "127.0.0.1", port, backlog=1024
    )
    bound = listening.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{bound}/v1\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()
    listening.close()
    await server.shutdown(timeout=0.1)


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.latency))


if __name__ == "__main__":
    main()
