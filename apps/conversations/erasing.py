"""What rooms do with their own rows when conversations are erased.

Erasing belongs to the room of the doors, which cannot see the rooms beside it. Whatever refers to
a conversation by a foreign key with CASCADE goes with it by itself; a room that keeps a row without
its words says here how. It is called in the transaction of the erasure, under the locks of the
conversations, before they go.
"""

from collections.abc import Callable, Sequence

Forget = Callable[[Sequence[int]], None]

_rooms: list[Forget] = []


def when_erased(forget: Forget) -> None:
    """Call ``forget`` with the primary keys of conversations that are about to go.

    Register in ``AppConfig.ready``; a second registration of the same function changes nothing.
    """
    if forget not in _rooms:
        _rooms.append(forget)


def forget_in_rooms(conversation_ids: Sequence[int]) -> None:
    """Let every room that registered do its part."""
    for forget in _rooms:
        forget(conversation_ids)
