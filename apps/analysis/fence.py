"""Neutralize text inside a transcript that could pass for the fence around it.

The fence of a request carries a random word that no one in the conversation can know, so no text
can close it. What only looks like a fence is replaced as well, because a model reads by likeness:
capitals, blanks, invisible characters, other alphabets, and escaped brackets count as the same.
"""

import itertools
import re
import secrets
import unicodedata
from functools import lru_cache
from hashlib import blake2b

#: Blocks with letters that look like ASCII: accented Latin, Greek, Cyrillic, phonetic, small
#: capitals, letterlike, enclosed, full-width, mathematical.
_LOOKALIKE_BLOCKS = (
    (0x00A0, 0x0600),
    (0x1D00, 0x2000),
    (0x2070, 0x2190),
    (0x2460, 0x2500),
    (0x2C60, 0x2C80),
    (0xA720, 0xA800),
    (0xFF00, 0xFFF0),
    (0x1D400, 0x1D800),
    (0x1F100, 0x1F1A0),
)
#: Letters of other alphabets, and digits, that Unicode does not call compatible with ASCII.
_HOMOGLYPHS = {
    "t": "тτꭲꮦᴛꞇŧƭʈȶ7+†",
    "r": "гʀᴦɾɼʁгꭇꮁᖇɍя",
    "a": "аαɑᴀꭺꮖᗅ4@∀",
    "n": "пոռηɴꞑиᴎŋƞɲℕ",
    "s": "ѕꜱƨʂꮪ5$ꚃ",
    "c": "сϲᴄⅽꮯꮳ¢ƈ",
    "i": "іιıɩꭵɪӏ1l|!ǀ¡",
    "p": "рρϱᴘꮲᑭƥþ",
}
_SLASHES = "/\\⁄∕⟋⧸⧹╱＼／﹨÷"
_BRACKETS = "<＜﹤‹〈⟨〈《⟪«❬❮❰ᐸ˂≺⋖⦑⧼≪˱𐒷"
_ESCAPED_BRACKETS = r"&(?:lt|#0*60|#x0*3c|lsaquo|lang|laquo);?|%3c|\\u(?:003c|\{3c\})|\\x3c"
_ESCAPED_SLASHES = r"&(?:sol|#0*47|#x0*2f);?|%2f|\\u002f|\\x2f"

#: Most texts hold nothing that could open a fence; this finds out cheaply.
_MAY_OPEN = re.compile(rf"[{re.escape(_BRACKETS)}]|&[#lL]|%3[cC]|\\[ux]")


def fence_word() -> str:
    """Return a word for the fence of one request, which no transcript can hold on purpose.

    The operating system is asked for randomness once a process: for each request it takes longer
    than building the prompt.
    """
    number = next(_numbers).to_bytes(8)
    return blake2b(number, key=_secret(), digest_size=4).hexdigest()


_numbers = itertools.count()


@lru_cache(maxsize=1)
def _secret() -> bytes:
    return secrets.token_bytes(32)


def neutralize_fences(text: str) -> str:
    """Return ``text`` with every opening of something like the fence written as ``[transcript``
    or ``[/transcript``, and everything else as it was."""
    if not _MAY_OPEN.search(text):
        return text
    return _fence_like().sub(_plain, text)


def _plain(match: re.Match[str]) -> str:
    return "[/transcript" if match["slash"] else "[transcript"


@lru_cache(maxsize=1)
def _fence_like() -> re.Pattern[str]:
    # Every part is followed by characters of classes that the next part does not begin with, so
    # the search stays linear whatever is tried.
    ignored = f"[{_ignorable()}]*"
    letters = "".join(f"[{_like(letter)}]{ignored}" for letter in "transcrip")
    opening = f"(?:[{re.escape(_BRACKETS)}]|{_ESCAPED_BRACKETS}){ignored}"
    slash = f"(?P<slash>(?:(?:[{re.escape(_SLASHES)}]|{_ESCAPED_SLASHES}){ignored})*)"
    return re.compile(f"{opening}{slash}{letters}[{_like('t')}]", re.IGNORECASE)


def _like(letter: str) -> str:
    """Return a character class's inside: ``letter`` and what looks like it."""
    return re.escape("".join(sorted(_lookalikes()[letter])))


@lru_cache(maxsize=1)
def _lookalikes() -> dict[str, set[str]]:
    found = {
        letter: {letter, letter.upper(), *glyphs, *glyphs.upper()}
        for letter, glyphs in _HOMOGLYPHS.items()
    }
    for first, stop in _LOOKALIKE_BLOCKS:
        for char in map(chr, range(first, stop)):
            base = unicodedata.normalize("NFKD", char).casefold().strip("()")[:1]
            if base in found:
                found[base].add(char)
            for letter, glyphs in _HOMOGLYPHS.items():
                if base and base in glyphs:
                    found[letter].add(char)
    return found


@lru_cache(maxsize=1)
def _ignorable() -> str:
    """Return a class's inside: blanks, controls, marks and formats, which a reader may not see."""
    unseen = {"Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp"}
    planes = (*range(0x3100), *range(0xFE00, 0x10000), *range(0xE0000, 0xE0200))
    codes = [code for code in planes if unicodedata.category(chr(code)) in unseen]
    codes += [0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0]  # letters and a pattern that show nothing
    return "".join(f"\\U{code:08x}" for code in sorted(set(codes))) + "_.\\-*"
