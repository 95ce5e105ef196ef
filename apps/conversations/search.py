"""Search words: one rule for stored text and for queries.

Both sides are split into words here, not by PostgreSQL's parser, so that ids, phone numbers and
text without blanks between words behave. Chinese, Japanese and Korean runs become pairs of
neighboring characters, and their last character alone, so that one character is found as
the beginning of a pair.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from django.db.models import BooleanField, F, Func, Q, TextField, Value

MAX_WORD = 60
"""Longer words are truncated, on both sides."""
MAX_BYTES = 500_000
"""Of the words of one conversation: a tsvector holds 1 MB, offsets and padding included."""
MAX_ASKED = 20
_PREFIX_FROM = 3
"""Words from this length on also find longer words that begin so."""

_CJK = "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]+|[^\W{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")
_PHONE = re.compile(r"\+?[\d\s().\-/]{3,40}")
_NOT_DIGITS = re.compile(r"\D+")


def words(text: str) -> list[str]:
    """Return the words of a text as they are stored, in order and with repetitions."""
    folded = _folded(text)
    runs = _WORD.findall(folded)
    if folded.isascii():
        return [run[:MAX_WORD] for run in runs]
    found: list[str] = []
    for run in runs:
        if _IS_CJK.match(run):
            found += [run[at : at + 2] for at in range(len(run))]
        else:
            found.append(run[:MAX_WORD])
    return found


def vector(texts: Iterable[str], *, numbers: Iterable[str] = ()) -> str:
    """Return the words of some texts as the text form of a tsvector, truncated to what one holds.

    ``numbers`` are phone numbers: stored as their digits, however they are written.
    """
    found: dict[str, None] = dict.fromkeys(d for n in numbers if (d := digits(n)))
    size = 0
    for text in texts:
        for word in words(text):
            if word not in found:
                size += len(word.encode()) + 2
                if size > MAX_BYTES:
                    return " ".join(found)
                found[word] = None
    return " ".join(found)


def digits(number: str) -> str:
    return _NOT_DIGITS.sub("", number)[:MAX_WORD]


def asked(text: str) -> str:
    """What a person typed as the text form of a tsquery: every word, longer ones as beginnings.

    Empty where there is nothing to search for (only punctuation, say).
    """
    terms = list(dict.fromkeys(_terms(text)))[:MAX_ASKED]
    query = " & ".join(terms)
    if _PHONE.fullmatch(text.strip()) and (number := digits(text)):
        return f"({query}) | {number}:*"
    return query


def _terms(text: str) -> Iterator[str]:
    for run in _WORD.findall(_folded(text)):
        if not run.isascii() and _IS_CJK.match(run):
            pairs = [run[at : at + 2] for at in range(len(run) - 1)]
            yield from pairs or [f"{run}:*"]
        else:
            yield f"{run[:MAX_WORD]}:*" if len(run) >= _PREFIX_FROM else run


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold()


class _Matches(Func):
    template = "(%(expressions)s::tsquery)"
    arg_joiner = " @@ "
    output_field = BooleanField()

    def __init__(self, column: str, query: str) -> None:
        super().__init__(F(column), Value(query, output_field=TextField()))


def matching(query: str) -> Q:
    """Rows of `SearchText` that hold what `asked` made of a person's words."""
    return Q(_Matches("words", query)) | Q(_Matches("summary_words", query))


def summary_words_text(summary: str) -> str:
    """Return the text form of a tsvector (``::tsvector``) of a result's summary."""
    return vector([summary])
