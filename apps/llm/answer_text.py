"""Find the one JSON object in what a model said. Nothing in it is ever repaired.

Models put fences, thoughts, words and end tokens around their response, or the response one level
deeper than asked. All of that is taken off, and exactly one object must be left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from apps.llm.numbers import parse_float, parse_int
from apps.llm.text import sanitise_json

_SUSPECT = re.compile(r"\\u0000|\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_OPEN_THOUGHT = r"<(think(?:ing)?|reasoning|thoughts?|reflection|scratchpad|seed:think)>"
_CLOSED_THOUGHT = re.compile(
    rf"\s*(?:{_OPEN_THOUGHT}.*?</\1>|\[THINK\].*?\[/THINK\]|◁think▷.*?◁/think▷|"
    r"<\|channel>thought\b.*?<channel\|>)",
    re.DOTALL | re.IGNORECASE,
)
_END_OF_THOUGHT = re.compile(
    r"</(?:think(?:ing)?|reasoning|thoughts?|reflection|scratchpad|seed:think)>|\[/THINK\]|◁/think▷|"
    r"<\|end_of_thought\|>|<\|channel\|>\s*final\s*(?:<\|constrain\|>\s*\w+\s*)?<\|message\|>",
    re.IGNORECASE,
)
_BEGIN_THOUGHT = re.compile(rf"\A\s*(?:{_OPEN_THOUGHT}|\[THINK\]|◁think▷)", re.IGNORECASE)
# Special tokens of chat templates that a server forgot to take off.
_SPECIAL = (
    r"<\|[\w▁]{1,40}\|>|<｜[^｜<>]{1,40}｜>|</?s>|<eos>|<bos>|<end_of_turn>|<start_of_turn>|"
    r"\[/?INST\]|<\|?endoftext\|?>|\[TOOL_CALLS\]|<unused\d+>"
)
_TOKEN_BEFORE = re.compile(_SPECIAL)
_TOKEN_AFTER = re.compile(rf"(?:{_SPECIAL})\Z")
_LONGEST_TOKEN = 60
_BLANKS = " \t\r\n\f\v\u00a0\u200b\u2060\ufeff"
_JSON_BEGINS = re.compile(r"\{\s*(?:[\"'“”}]|\w+\s*:|\Z)")
_MANY = "The response contains more than one JSON object."
_DEEP = "The response is nested too deeply."
_DEEPEST_WRAPPER = 3
_WRAPPED_ARGUMENTS = ("arguments", "parameters", "input", "args")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=parse_int, parse_float=parse_float
)


def parse_output(text: str) -> dict[str, object] | str:
    """Return the JSON object in a response, or a message about why there is none.

    What PostgreSQL cannot hold (U+0000, lone surrogates) is taken out of the values.
    """
    try:
        value = _decoded(text)
        if isinstance(value, dict) and _SUSPECT.search(text):
            value = sanitise_json(value)
    except RecursionError:
        return _DEEP
    except ValueError as error:
        return f"The response isn't valid JSON: {error}."
    if isinstance(value, _Problem):
        return str(value)
    if not isinstance(value, dict):
        return f"The response must be a JSON object, not {type(value).__name__}."
    return value


class _Problem(str):
    """Return why a text has no response."""

    __slots__ = ()


def _decoded(text: str) -> object:
    """Return the JSON value that a text is, or the one object among other things in it."""
    stripped = _trimmed(text)
    try:
        value: object = _DECODER.decode(stripped)
    except json.JSONDecodeError as error:
        return _one_object(_without_thoughts(stripped), error)
    # JSON as a JSON string: encoded twice by a gateway.
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        return _DECODER.decode(value)
    return _called(value)


def _trimmed(text: str) -> str:
    """Return a text without the blanks and special tokens around it."""
    if text[:1] == "{" and text[-1:] == "}":
        return text
    start, end = 0, len(text)
    while True:
        while start < end and text[start] in _BLANKS:
            start += 1
        while start < end and text[end - 1] in _BLANKS:
            end -= 1
        if token := _TOKEN_BEFORE.match(text, start, end):
            start = token.end()
        elif token := _TOKEN_AFTER.search(text[max(start, end - _LONGEST_TOKEN) : end]):
            end -= len(token[0])
        else:
            return text[start:end]


def _called(value: object) -> object:
    """Return the call in a list that holds nothing else, as Mistral's models write it."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        call = value[0]
        if "name" in call and any(key in call for key in _WRAPPED_ARGUMENTS):
            return call
    return value


def _without_thoughts(text: str) -> str:
    """Return a text without the thoughts before the response, opened or not.

    Thoughts that never end leave no response.
    """
    position = 0
    while thought := _CLOSED_THOUGHT.match(text, position):
        position = thought.end()
    text = text[position:]
    if end := _END_OF_THOUGHT.search(text):
        brace = text.find("{")
        if (
            _BEGIN_THOUGHT.match(text)
            or brace < 0
            or brace > end.start()
            or not _whole(text, brace)
        ):
            text = text[end.end() :]
    return "" if _BEGIN_THOUGHT.match(text) else text


def _whole(text: str, start: int) -> bool:
    """Return whether a whole JSON object that holds the end of the thought begins here."""
    try:
        end = _DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return False
    thought = _END_OF_THOUGHT.search(text)
    return thought is not None and end > thought.start()


def _one_object(text: str, error: json.JSONDecodeError) -> object:
    """Return the only JSON object in a text with other words.

    A brace that does not begin an object is skipped; one that begins a broken object ends the
    search, so that no part of a broken response is taken for the response.
    """
    found: object = None
    position = 0
    while brace := _JSON_BEGINS.search(text, position):
        start = brace.start()
        value, end = _DECODER.raw_decode(text, start)
        if found is not None:
            return _Problem(_MANY)
        if _is_in_list(text, start, end):
            return _called(_DECODER.raw_decode(text, text.rindex("[", 0, start))[0])
        found, position = value, end
    if found is None:
        raise error
    return found


def _is_in_list(text: str, start: int, end: int) -> bool:
    before, after = text[:start].rstrip()[-1:], text[end:].lstrip()[:1]
    return before == "[" and after in {"]", ","}


def unwrapped(value: dict[str, object], fields: Collection[str] | None) -> dict[str, object] | None:
    """Return the response, from one level deeper where it is there; ``None`` where it is nowhere.

    ``fields`` are the names asked for, ``None`` where any name is allowed. A response with a field
    that was asked for is never opened: the operator's own field may have a wrapper's name.
    """
    if fields is None or not value:
        return value
    names = set(fields)
    if (arguments := _arguments(value, names)) is not None:
        return arguments
    if value.keys() & names:
        return value
    for _ in range(_DEEPEST_WRAPPER):
        inner = [each for item in value.values() if (each := _inner(item))]
        # Beside the response there may be thoughts.
        fitting = [each for each in inner if each.keys() & names]
        if len(fitting) == 1:
            return fitting[0]
        if len(inner) != 1:
            return None
        value = inner[0]
    return None


_CALL_KEYS = frozenset(("name", "type", "id", "function", *_WRAPPED_ARGUMENTS))


def _arguments(value: dict[str, object], names: set[str]) -> dict[str, object] | None:
    """Return the arguments of a response that is a call, though a field is named like its parts.

    It is one where the key that holds the arguments wasn't asked for, and the arguments were.
    """
    if not value.keys() <= _CALL_KEYS or len(value) == 1:
        return None
    for key in ("function", *_WRAPPED_ARGUMENTS):
        if key not in names and (inner := _inner(value.get(key))):
            if found := _arguments(inner, names):
                return found
            if inner.keys() & names and key != "function":
                return inner
    return None


def _inner(item: object) -> dict[str, object] | None:
    """Return the object that a wrapper's value is: itself, alone in a list, or as JSON text."""
    if isinstance(item, list) and len(item) == 1:
        item = item[0]
    if isinstance(item, str) and item.lstrip()[:1] == "{":
        parsed = parse_output(item)
        item = parsed if isinstance(parsed, dict) else None
    return item if isinstance(item, dict) else None


def only_object(text: str) -> dict[str, object] | None:
    """Return the object that a text is and nothing else, thoughts before it aside."""
    after = _without_thoughts(_trimmed(text)).strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(\{.*\})\s*```", after, re.DOTALL | re.IGNORECASE)
    after = fenced[1] if fenced else after
    value = parse_output(after) if after[:1] == "{" and after[-1:] == "}" else None
    return value if isinstance(value, dict) else None


_LONGEST_REFUSAL = 1_500
_SORRY = re.compile(
    r"\A[\s\"'*]*(?:(?:i['’]?m|i am|we['’]re|we are) (?:very |really |truly |so )?"
    r"(?:sorry|afraid|unable|not (?:able|allowed|permitted))|sorry|apologies|my apologies|"
    r"unfortunately|i apologi[sz]e|"
    r"i (?:can['’]?t|cannot|can not|won['’]?t|will not|must decline|have to decline|decline)|"
    r"as an ai|as a (?:large )?language model|this request violates|lo siento|"
    r"je suis désolé|désolé|es tut mir leid|tut mir leid|desculpe|mi dispiace|"
    r"抱歉|对不起|很抱歉|申し訳|죄송|к сожалению|извините|на жаль|przepraszam|niestety|üzgünüm|"
    r"maalesef|عذر|آسف|أعتذر|helaas|het spijt me|tyvärr|beklager|desværre|क्षमा|माफ़|xin lỗi|maaf)",
    re.IGNORECASE,
)
_UNABLE = re.compile(
    r"\b(?:can['’]?t|cannot|can not|won['’]?t|will not|unable to|not able to|not allowed to|"
    r"not permitted to|must decline|have to decline|decline)\b.{0,40}?\b(?:assist|help|comply|"
    r"fulfil\w*|provide|process|analy[sz]e|respond|answer|engage|continue|discuss|complete|do that|"
    r"generate|create|support|share|participate|proceed|evaluate|summari[sz]e|with that|with this)"
    r"|\bdecline (?:to|this|that|your)\b|against my (?:guidelines|policies|programming)"
    r"|no puedo|ne peux pas|ne suis pas en mesure|kann (?:ich )?(?:\w+ ){0,4}nicht|nicht helfen"
    r"|não posso|non posso|无法|不能|できません|できかねます|수 없습니다|не (?:могу|можу)|nie mogę"
    r"|yardımcı olam(?:am\b|ay[ıi]z|ıyoru)|لا يمكن|لا أستطيع"
    r"|kan ik (?:\w+ ){0,2}niet|kan (?:jag|jeg) (?:inte|ikke)|नहीं कर सक|không thể"
    r"|tidak (?:dapat|bisa)",
    re.IGNORECASE | re.DOTALL,
)


def is_refusal(text: str) -> bool:
    """Return whether a response in plain words clearly declines the task.

    It must open with regret or rejection, name the declined task, be short, and hold no JSON.
    """
    text = _without_thoughts(text).strip()
    if not text or len(text) > _LONGEST_REFUSAL or "{" in text:
        return False
    return _SORRY.match(text) is not None and _UNABLE.search(text[:400]) is not None
