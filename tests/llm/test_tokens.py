"""The estimate against counts of the o200k_base tokenizer, taken once and written down here."""

import time
from itertools import pairwise

import pytest

from apps.llm.tokens import estimate_messages, estimate_tokens

ENGLISH = (
    "Agent: Thank you for calling Northwind Energy, this is Dana. How can I help you today?\n"
    "User: Hi, I got my bill yesterday and it's almost twice what I normally pay. I haven't "
    "changed anything, and I was away for two weeks in July.\n"
    "Agent: I'm sorry about that. Can I have your account number, please?\n"
    "User: Sure, it's 4471 0932."
)
COUNTED = [
    (ENGLISH, 82),
    (
        "안녕하세요, 제 이름은 김민수입니다. 예약을 변경하고 싶은데요, 내일 세 시로 될까요.",
        27,
    ),
    (
        "Merhaba, geçen hafta verdiğim siparişi iptal etmek istiyorum çünkü hâlâ gelmedi.",
        22,
    ),
    ("ご予約の変更をお願いしたいのですが、来週の金曜日は空いていますか。", 22),
    ("שלום, אני רוצה לבטל את המנוי שלי כי השירות לא עובד כבר יומיים.", 20),
    (
        "مرحبا، أريد إلغاء اشتراكي لأن الخدمة لا تعمل منذ يومين ولم يتصل بي أحد.",
        23,
    ),
    ("สวัสดีค่ะ ฉันต้องการยกเลิกการจองห้องพักสำหรับวันพรุ่งนี้", 23),
    ("👍🏽👨‍👩‍👧‍👦🎉 great!", 18),
    (
        '{"type":"object","properties":{"summary":{"type":["string","null"]}},"required":[]}',
        22,
    ),
]


@pytest.mark.parametrize(("text", "tokens"), COUNTED, ids=[text[:12] for text, _ in COUNTED])
def test_estimate_is_near_the_count(text: str, tokens: int) -> None:
    assert abs(estimate_tokens(text) / tokens - 1) <= 0.2


def test_nothing_costs_nothing_and_anything_costs_something() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens(" ") == 1
    assert estimate_tokens("\ud800") >= 1


def test_longer_texts_never_cost_less() -> None:
    estimates = [estimate_tokens(ENGLISH[:size]) for size in range(20, len(ENGLISH), 20)]
    assert all(later >= earlier - 1 for earlier, later in pairwise(estimates))


def test_messages_cost_their_frames_too() -> None:
    assert estimate_messages("hello", "hello") == 3 + 2 * (4 + estimate_tokens("hello"))


def test_five_million_characters_take_linear_work() -> None:
    text = "word and another 12,345 — “so” " * 160_000
    started = time.process_time()
    estimate_tokens(text)
    assert time.process_time() - started < 30
