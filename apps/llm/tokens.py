"""How many tokens a text will cost, estimated from its UTF-8 bytes by script.

A tokenizer proper would have to be downloaded at run time, so this counts instead: words, long
words, capitals, digit groups, punctuation and line ends in alphabetic scripts; characters by the
lead byte of their UTF-8 form in all others. The weights below were fitted by least squares on the
relative error against the ``o200k_base`` tokenizer, over about 9 MB of dialogs, speech
recognition, JSON and interface text in some 90 languages. On whole conversations held out from
the fit the mean error is under 4% (English, German, Chinese, Japanese), on other languages it is
mostly within 15%. What remains is corrected per model by real usage
(``LanguageModel.token_correction``).

Everything is ``bytes.translate`` and ``bytes.count``: about 50 MB/s for ASCII, 35 MB/s mixed.
"""

from __future__ import annotations

_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))

# One class letter per lead byte of UTF-8, by the script that mostly lives there.
_LEAD_BYTES = (
    (0xC3, 0xCC, b"l"),  # Latin with marks, IPA
    (0xCC, 0xCE, b"m"),  # combining marks
    (0xCE, 0xD0, b"g"),  # Greek
    (0xD0, 0xD4, b"r"),  # Cyrillic
    (0xD4, 0xD6, b"x"),  # Armenian
    (0xD6, 0xD8, b"h"),  # Hebrew
    (0xD8, 0xDC, b"b"),  # Arabic
    (0xDC, 0xE0, b"x"),  # Syriac, Thaana, N'Ko
    (0xE0, 0xE1, b"i"),  # Indic scripts, Thai, Lao
    (0xE1, 0xE2, b"v"),  # Vietnamese letters, Georgian, Khmer, Ethiopic
    (0xE2, 0xE3, b"q"),  # typographic punctuation, arrows, symbols
    (0xE3, 0xE4, b"j"),  # kana and CJK punctuation
    (0xE4, 0xEA, b"z"),  # CJK ideographs
    (0xEA, 0xEE, b"k"),  # Hangul
    (0xEE, 0xF0, b"f"),  # full-width forms, variation selectors
    (0xF0, 0xF8, b"e"),  # emoji and rare ideographs
)

_WEIGHTS_BY_SCRIPT = (
    (b"l", 0.85),
    (b"m", 1.5),
    (b"g", 0.25),
    (b"r", 0.124),
    (b"x", 0.25),
    (b"h", 0.19),
    (b"b", 0.12),
    (b"i", 0.25),
    (b"v", 0.31),
    (b"q", 1.2),
    (b"j", 0.63),
    (b"z", 0.868),
    (b"k", 0.72),
    (b"f", 0.3),
    (b"e", 2.0),
)


def _classes() -> bytes:
    table = bytearray(b"." * 256)
    for code in range(128):
        char = bytes([code])
        if char.isalpha():
            table[code] = ord("A") if char.isupper() else ord("a")
        elif char.isdigit():
            table[code] = ord("0")
        elif char in b"\n\r":
            table[code] = ord("n")
        elif char in b" \t":
            table[code] = ord(" ")
    for first, stop, letter in _LEAD_BYTES:
        table[first:stop] = letter * (stop - first)
    return bytes(table)


_CLASSES = _classes()
_LETTERS = bytes(ord("a") if chr(c) in "AalmgrhbxivA" else ord(".") for c in range(256))
_DIGITS = bytes(ord("0") if c == ord("0") else ord(".") for c in range(256))


def estimate_tokens(text: str) -> int:
    """Tokens of ``text``, at least 1 for any text that is not empty.

    Lone surrogates are counted like any other character: a broken text has a price too.
    """
    if not text:
        return 0
    data = text.encode("utf-8", "surrogatepass")
    classes = data.translate(_CLASSES, _CONTINUATION_BYTES)
    words = classes.translate(_LETTERS).count
    count = classes.count
    tokens = (
        0.3
        + 0.725 * words(b".a")  # a word begins
        + 0.495 * words(b"aaaa")  # and is long
        - 0.089 * words(b"aaaaaaaa")
        + 0.193 * count(b"A")
        + 0.396 * count(b"aA")  # camelCase
        + 0.074 * count(b"0")
        + 1.864 * classes.translate(_DIGITS).count(b".0")  # a group of digits begins
        + 0.517 * count(b".")
        - 0.5 * count(b"..")  # runs of punctuation share tokens
        + 0.455 * count(b" .")
        + 0.774 * count(b"n")
    )
    if len(data) != len(text):
        tokens += sum(weight * count(letter) for letter, weight in _WEIGHTS_BY_SCRIPT)
    return max(1, round(tokens))


def estimate_messages(*contents: str) -> int:
    """Tokens of a chat request with these messages: the texts and what frames each of them."""
    return 3 + sum(4 + estimate_tokens(content) for content in contents)
