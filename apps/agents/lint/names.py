"""What a field's name says: its words, those that mean the same taken as one."""

import re


def word_set(text: str) -> frozenset[str]:
    """The words of a text, as it is written here."""
    return frozenset(text.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")

#: Words that tell no field of a conversation from another.
_FILLER = word_set(
    "a an the of for in is was were has have had did does call chat conversation session "
    "customer customers user caller client main primary final overall general status type field "
    "value level flag"
)
_SYNONYMS = {
    **dict.fromkeys(word_set("recap synopsis overview abstract gist tldr"), "summary"),
    **dict.fromkeys(word_set("mood emotion feeling feelings"), "sentiment"),
    **dict.fromkeys(word_set("resolution solved success successful outcome"), "resolved"),
    **dict.fromkeys(word_set("subject category theme"), "topic"),
    **dict.fromkeys(word_set("escalation escalate"), "escalated"),
    **dict.fromkeys(word_set("required necessary needs need"), "needed"),
    **dict.fromkeys(word_set("rating grade"), "score"),
    **dict.fromkeys(word_set("explanation rationale justification reasoning why"), "reason"),
}
_SIZES = word_set(
    "short brief long detailed full one line two sentence sentences quick executive extended "
    "bullet bullets points high complete concise text"
)
VAGUE = word_set(
    "data info information misc miscellaneous other others stuff thing things value values field "
    "result results output answer notes note text string item items extra details detail comment "
    "comments status type flag test tmp temp foo bar unknown"
)
CATEGORY = word_set(
    "topic category subject theme type status intent sentiment mood priority severity urgency "
    "department product plan language channel outcome disposition stage quality"
)
YES_NO_FIRST = word_set("is was has had did does needs can should")
YES_NO_LAST = word_set("needed required mentioned requested offered verified resolved")
NUMBER = word_set("score rating count percentage percent nps")
SCORE = word_set("score rating nps percentage percent confidence satisfaction effort")
NEGATIONS = word_set("not no never without non")


def words(name: str) -> list[str]:
    """The words of a name, lower case: ``followUp_needed`` is follow, up, needed."""
    return [word.lower() for word in _WORD.findall(name)]


def meaning(name: str) -> frozenset[str]:
    """What a name says, so that names that say the same are equal."""
    said = {_SYNONYMS.get(word, word) for word in words(name.replace("follow_up", "followup"))}
    telling = {word for word in said if word not in _FILLER}
    if "topic" in telling:
        telling.discard("issue")
    return frozenset(telling or said)


def is_summary(name: str) -> bool:
    """Whether a name means a summary of the whole, of whatever size."""
    said = meaning(name)
    return "summary" in said and said - {"summary"} <= _SIZES


def is_vague(name: str) -> bool:
    """Whether a name tells a reader nothing: ``data``, ``field_1``, ``x``."""
    said = [word for word in words(name) if not word.isdecimal()]
    return not said or all(w in VAGUE or (len(w) == 1 and w.isascii()) for w in said)
