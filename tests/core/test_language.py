"""Text that people read is plain US English: words that were replaced don't come back.

To ban a word, add it to ``WORDS`` and run ``python -m tests.core.test_language``, which writes what
is left of it to ``language_baseline.json``. Those numbers may only go down.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASELINE = Path(__file__).with_name("language_baseline.json")

WORDS = {
    r"\bby (?:it|them)sel(?:f|ves)\b": "automatically",
    r"\bdoors?\b": "webhook URL, receiver, API route, or source",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\b(?:is|are|was|were|be) told\b": "is notified, is shown",
    r"\bgo(?:es)? on\b": "continue, resume, reopen",
    r"\b(?:take[ns]?|took|taking) in\b": "ingest, accept, import",
    r"\b(?:theirs|ours)\b": "the platform's, Debrief's",
    r"\b(?:any|no) more\b(?! than)": "no longer",
    r"\bfor ever\b": "forever, indefinitely",
    r"\bof late\b|\blately\b": "recently",
    r"\bat work\b": "running, in progress",
    r"\bmeanwhile\b": "in the meantime, while …",
    r"\bunless told\b": "default: …",
    r"\bare the most\b": "the maximum is …",
    r"\bso many\b": "the number, this many",
    r"\bwhoever\b": "the role, anyone who",
    r"(?<![Tt]here )\b(?:is|are|was|were) no (?!longer|more|one\b)[a-z]+": "isn't a …",
    r"\bno such\b": "not found, unknown …",
    r"\bpresent (?:result|one|password|secret|config)s?\b": "current",
    r"\bminute and (?:API )?key\b": "per minute per key",
    r"\bhand(?:s|ed)? (?:conversations |it |them )?in\b": "send",
    r"\bof (?:now|then)\b": "current, at the time",
    r"\btrials?\b|\bTry it\b": "test run, Test",
    r"\d %": "no space before %",
    r"\brooms?\b(?! for)|\bhouse\b": "app, codebase",
    r"\bsentences?\b": "message",
    r"\b(?:nobody|somebody)\b": "no one, someone, or the role",
    r"\bfigures?\b": "estimate, numbers, totals",
    r"\bbeside\b": "next to",
    r"\brefus(?:e|ed|es|al|als|ing)\b": "reject, error, can't",
    r"\b(?:stands?|stood)\b": "is, stays",
    r"\bwhat (?:is|was|were|came|comes|waits?|arrived?|became|stands|it|they)\b": "a noun",
    r"\b(?:tells?|telling)\b": "notify, show, report",
    r"\banswer(?:s|ed|ing)?\b": "response, return",
    r"\bcut\b": "truncated",
    r"\bkept\b": "stored, saved",
    r"\b(?:product \d|quality S\d)": "a page of docs/",
    r"\b(?:analys(?:e|ed|er|ers|ing)|(?:organ|normal|summar|recogn|sanit|serial|initial|material"
    r"|author|custom|optim|categor|synchron|minim|maxim|priorit)is(?:e|ed|es|er|ers|ing|ation"
    r"|ations)|behaviours?|colour\w*|favour\w*|honour\w*|neighbour\w*|labell(?:ed|ing)|cancell"
    r"(?:ed|ing)|modell\w+|travell\w+|catalogues?|judgements?|acknowledgements?|centred?|greys?"
    r"|programmes?|whilst|amongst|towards|afterwards|learnt|spelt|burnt|dialogues?|licence"
    r"|defence|artefacts?|fulfil|enrol|ageing|cheque)\b": "the US spelling",
}

FOR_MODELS = (
    "apps/agents/documents.py",
    "apps/agents/lint/names.py",
    "apps/agents/templates.py",
    "apps/analysis/prompts.py",
    "apps/llm/schema/descriptions.py",
)
"""Text that a model reads, and lists of words: changing them changes results."""

_ATTRIBUTES = re.compile(r'(?:title|aria-label|placeholder|text|action|label)="([^"]*)"')
_COMMENT = re.compile(r"{% comment %}.*?{% endcomment %}", re.DOTALL)
_MARKUP = re.compile(r"{[%{].*?[%}]}|<[^>]*>", re.DOTALL)
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)

Text = tuple[str, str]
"""The path of a file, and a piece of its text."""


def templates() -> Iterator[Text]:
    for path in sorted((ROOT / "templates").rglob("*.html")):
        source = _COMMENT.sub("", path.read_text())
        attributes = " ".join(_ATTRIBUTES.findall(source))
        yield _name(path), f"{_MARKUP.sub(' ', source)} {attributes}"


def strings() -> Iterator[Text]:
    """String constants with a space in them, except docstrings and SQL."""
    for path, text, is_docstring in _constants():
        if " " in text and not is_docstring and not _is_sql(text):
            yield path, _CODE.sub("", text)


def docstrings() -> Iterator[Text]:
    for path, text, is_docstring in _constants():
        if is_docstring:
            yield path, _CODE.sub("", text)


def docs() -> Iterator[Text]:
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        if path.name == "glossary.md":  # names the words to avoid
            continue
        yield _name(path), _CODE.sub("", path.read_text())


KINDS = {"templates": templates, "strings": strings, "docstrings": docstrings, "docs": docs}


@cache
def _constants() -> list[tuple[str, str, bool]]:
    """Return the path and text of each string constant, and whether it is a docstring."""
    found = []
    for folder in ("apps", "config"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = _name(path)
            if "migrations" in path.parts or name in FOR_MODELS:
                continue
            nodes = list(ast.walk(ast.parse(path.read_text())))
            bare = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            found += [
                (name, node.value, id(node) in bare)
                for node in nodes
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
    return found


def _is_sql(text: str) -> bool:
    return bool(re.search(r"\b(?:SELECT|UPDATE|INSERT|DELETE|WHERE|FROM|CREATE|SET)\b", text))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def uses_of(kind: str) -> dict[str, list[str]]:
    """Return where each banned word is used: pattern → places."""
    texts: dict[str, list[str]] = {}
    for path, text in KINDS[kind]():
        texts.setdefault(path, []).append(text)
    places: dict[str, list[str]] = {}
    for path, parts in texts.items():
        whole = "\n".join(parts)  # no pattern matches across a line
        for pattern in WORDS:
            for match in re.finditer(pattern, whole, re.IGNORECASE):
                places.setdefault(pattern, []).append(f"{path}: “{match.group(0)}”")
    return places


@pytest.mark.parametrize("kind", KINDS)
def test_banned_words_do_not_come_back(kind: str) -> None:
    allowed: dict[str, int] = json.loads(BASELINE.read_text())[kind]
    problems = [
        f"{len(places)} of {allowed.get(pattern, 0)} {pattern} (say: {WORDS[pattern]})\n  "
        + "\n  ".join(places)
        for pattern, places in uses_of(kind).items()
        if len(places) > allowed.get(pattern, 0)
    ]
    assert not problems, "\n".join(problems)


def test_the_baseline_names_known_words() -> None:
    for allowed in json.loads(BASELINE.read_text()).values():
        assert set(allowed) <= set(WORDS)


def write_baseline() -> None:
    counts = {kind: Counter({w: len(p) for w, p in uses_of(kind).items()}) for kind in KINDS}
    BASELINE.write_text(json.dumps(counts, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_baseline()
