"""Yes and no, in the words in which platforms, people and models say them."""

_YES = frozenset(
    ["true", "yes", "success", "successful", "succeeded", "resolved", "passed", "pass"]
)
_NO = frozenset(
    ["false", "no", "failure", "failed", "unsuccessful", "unresolved", "fail", "not_successful"]
)
_SHORT = {"1": True, "y": True, "t": True, "0": False, "n": False, "f": False}


def worded_truth(value: object) -> bool | None:
    """Return what a verdict in words means; None where it is neither a yes nor a no."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower().replace(" ", "_") if isinstance(value, str) else ""
    return True if word in _YES else False if word in _NO else None


def yes_or_no(value: object) -> bool | None:
    """Return the value of a yes/no field, also where it is spelled 1 or 0, y or n."""
    if (truth := worded_truth(value)) is not None:
        return truth
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return _SHORT.get(str(value).strip().lower().removesuffix(".0"))
    return None
