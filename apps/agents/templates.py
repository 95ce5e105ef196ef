"""Ready sets of fields with an analysis prompt to begin with.

Data only. ``apps.agents.draft_start`` puts one into a draft; whoever edits it afterwards owns it:
nothing remembers that a draft began with a template.
"""

from dataclasses import dataclass, field
from typing import Any

from .documents import Schema

MOST_ITEMS = 10
"""Of a list in a template: enough for any conversation, and a model cannot run on for ever."""


@dataclass(frozen=True, slots=True)
class Template:
    """Fields to start from. ``columns`` says which of them feeds which history column.

    The built-in category of such a column asks the same again, so it is switched off.
    """

    key: str
    title: str
    purpose: str
    fields: dict[str, Schema]
    required: tuple[str, ...]
    instructions: str
    columns: dict[str, str] = field(default_factory=dict)

    def schema(self) -> Schema:
        """The fields as a JSON Schema."""
        return {"type": "object", "properties": self.fields, "required": list(self.required)}


def _text(description: str, *, condition: str = "") -> Schema:
    made: Schema = {"type": "string", "description": description}
    return made | ({"x-condition": condition} if condition else {})


def _choice(description: str, *choices: str) -> Schema:
    return {"type": "string", "enum": list(choices), "description": description}


def _yes_no(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def _integer(description: str, low: int, high: int) -> Schema:
    return {"type": "integer", "description": description, "minimum": low, "maximum": high}


def _list(description: str, *examples: list[str]) -> Schema:
    made: Schema = {"type": "array", "items": {"type": "string"}, "description": description}
    shown: dict[str, Any] = {"examples": list(examples)} if examples else {}
    return made | shown | {"maxItems": MOST_ITEMS}


CUSTOMER_SUPPORT = Template(
    key="customer_support",
    title="Customer support",
    purpose="What a support conversation was about, how it ended, and how hard it was.",
    fields={
        "summary": _text(
            "Two or three sentences: why the customer got in touch, what was done about it, and "
            "what is still open. Name amounts, dates and order numbers."
        ),
        "issue_category": _choice(
            "The one thing that the customer needed help with. account_access: login, password, "
            "locked or closed account. billing: charges, invoices, refunds. product_bug: "
            "something does not work as it should. feature_request: something that does not "
            "exist yet. how_to: how something is done. other: anything else.",
            *("account_access", "billing", "product_bug", "feature_request", "how_to", "other"),
        ),
        "resolution_status": _choice(
            "Where the matter stood at the end. resolved: done, and the customer agreed or did "
            "not object. escalated: handed to another team or a supervisor. pending: a next step "
            "was agreed and is still to come. unresolved: none of these.",
            *("resolved", "escalated", "pending", "unresolved"),
        ),
        "customer_effort_score": _integer(
            "How much work it was for the customer: 1 is easy, said once and solved; 3 is some "
            "repeating or waiting; 5 is hard, with repeated explanations, transfers or earlier "
            "contacts about the same thing.",
            1,
            5,
        ),
        "escalation_reason": _text(
            "Why it was handed on, in one sentence: what the agent could not or may not do.",
            condition="the conversation was escalated",
        ),
    },
    required=("summary", "issue_category", "resolution_status"),
    instructions=(
        "You read conversations between customers and a support agent.\n"
        "\n"
        "- Choose the category by what the customer needed, not by what was talked about longest. "
        "Where there were several matters, take the one that they came for.\n"
        "- A matter is resolved only if the transcript shows it: a promise to call back, a ticket "
        "or a link to an article alone is pending.\n"
        "- A transfer to a person is an escalation, also when the customer asked for it.\n"
        "- Effort is the customer's, not the agent's: count repeated details, waiting, transfers "
        "and mentions of earlier attempts."
    ),
    columns={"summary": "summary", "outcome": "resolution_status"},
)

SUPPORT_SHORT = Template(
    key="support_short",
    title="Support, short",
    purpose="Six fields for every support conversation; replaces all built-in categories.",
    fields={
        "summary": _text("One or two sentences: what the customer wanted and what came of it."),
        "topic": _choice(
            "The main topic, as the analysis prompt explains each.",
            *("billing", "technical_support", "sales", "general", "complaint"),
        ),
        "resolved": _yes_no(
            "True if the customer's request was settled before the conversation ended."
        ),
        "sentiment": _choice(
            "How the customer felt, by their language and their responses, above all at the end.",
            *("positive", "neutral", "negative"),
        ),
        "follow_up_needed": _yes_no(
            "True if anything was promised for later, or is left for somebody to do."
        ),
        "follow_up_notes": _text(
            "What is to be done, by whom, and by when if a time was named.",
            condition="a follow-up is needed",
        ),
    },
    required=("summary", "topic", "resolved", "sentiment"),
    instructions=(
        "Judge each conversation from the outside, as somebody who took no part in it: report "
        "what was said and done, without taking a side and without guessing at motives.\n"
        "\n"
        "Topics:\n"
        "- billing: invoices, charges, refunds, ways of paying, prices already agreed.\n"
        "- technical_support: something does not work, or has to be set up.\n"
        "- sales: interest in buying, upgrading, or in what is on offer.\n"
        "- complaint: the customer is dissatisfied with service or people, and says so; choose it "
        "over the topic that they complain about.\n"
        "- general: everything else, such as opening hours or a change of address.\n"
        "\n"
        "Resolved: the customer got what they asked for, or accepted the answer, in this very "
        "conversation. A question that was only passed on is not resolved.\n"
        "\n"
        "Sentiment: go by the customer's own words and by how they respond to the agent, not by "
        "the seriousness of the matter. Thanks and relief are positive; frustration, sarcasm or "
        "threats to leave are negative; a matter-of-fact tone is neutral.\n"
        "\n"
        "Follow-up: needed when the agent or the customer promised to do something afterwards "
        "(call back, send a document, check with a colleague), or when something is plainly left "
        "open."
    ),
    columns={"summary": "summary", "outcome": "resolved", "sentiment": "sentiment"},
)

SALES = Template(
    key="sales_qualification",
    title="Sales qualification",
    purpose="Whether a lead is worth a salesperson's time: budget, timing, who decides.",
    fields={
        "budget_mentioned": _yes_no(
            "True if the lead named or confirmed a budget, a price range or a present spend."
        ),
        "budget_range": _text(
            "The budget as the lead put it, with currency and period, such as “$500 a month”.",
            condition="a budget was mentioned",
        ),
        "timeline": _text(
            "When they want to buy or start, in their words: a date, a quarter, “after the trial”."
        ),
        "decision_maker": _yes_no(
            "True if the person can decide on the purchase themselves; false if somebody else has "
            "to agree."
        ),
        "competitor_mentioned": _list(
            "Each competing product or company that the lead named, as it was said; an empty list "
            "if none.",
            ["Acme CRM", "Northwind"],
        ),
        "next_step": _text(
            "What was agreed to happen next, with whom and when; empty if nothing was agreed."
        ),
        "lead_quality": _choice(
            "hot: need, means and a date soon. warm: real interest, one of these still open. "
            "cold: no need at present. unqualified: not somebody who could buy.",
            *("hot", "warm", "cold", "unqualified"),
        ),
    },
    required=("lead_quality",),
    instructions=(
        "You read conversations with people who may become customers, and qualify them as leads.\n"
        "\n"
        "- Take only what the lead said or clearly agreed to. What the agent offers, assumes or "
        "hopes for says nothing about budget, timing or authority.\n"
        "- Judge the quality last, by need, budget, authority and timing together. Friendliness "
        "alone does not make a lead warm.\n"
        "- A product that the lead uses today counts as a competitor if ours would replace it.\n"
        "- Wrong numbers, job seekers and suppliers are unqualified."
    ),
    columns={"outcome": "lead_quality"},
)

QUALITY_ASSURANCE = Template(
    key="quality_assurance",
    title="Quality assurance",
    purpose="A checklist of the agent's conduct, what broke the rules, and a score.",
    fields={
        "greeting_proper": _yes_no(
            "True if the agent greeted, said who they are and for whom, and offered help."
        ),
        "identification_verified": _yes_no(
            "True if the agent confirmed who the customer is before it gave out or changed "
            "anything of theirs; empty if nothing of the kind came up."
        ),
        "accurate_information": _yes_no(
            "False if anything that the agent stated is contradicted later in the transcript, by "
            "a tool's result, or by the agent itself."
        ),
        "professional_tone": _yes_no(
            "True if the agent stayed polite, clear and patient throughout, provoked or not."
        ),
        "closing_proper": _yes_no(
            "True if the agent said what happens next, asked whether there was anything else, and "
            "took leave; false if it just broke off."
        ),
        "compliance_issues": _list(
            "Each breach of the rules in the analysis prompt, in one short phrase with the words "
            "that show it; an empty list if there is none.",
            ["Gave the balance before verifying the customer"],
        ),
        "overall_score": _integer(
            "The conversation as a whole, from 0 (harmful or useless) over 60 (acceptable) to 100 "
            "(nothing to improve).",
            0,
            100,
        ),
    },
    required=(
        "greeting_proper", "accurate_information", "professional_tone", "closing_proper",
        "overall_score",
    ),
    instructions=(
        "You review the conduct of the agent, not of the customer. Judge each point by what the "
        "transcript shows, and the score last, from the points before it.\n"
        "\n"
        "These break the rules:\n"
        "- personal or account details given out before the customer was verified;\n"
        "- a promise that the agent has no means to keep, or a price, refund or date that it was "
        "not told;\n"
        "- pressure, insults, or advice on law, medicine or investments;\n"
        "- card numbers, passwords or codes that the agent asked to be said or written out.\n"
        "\n"
        "Score: start at 100; take 10 for each point of the checklist that is false, and 20 for "
        "each breach of the rules; not below 0."
    ),
)  # fmt: skip

TEMPLATES: tuple[Template, ...] = (CUSTOMER_SUPPORT, SUPPORT_SHORT, SALES, QUALITY_ASSURANCE)
BY_KEY = {template.key: template for template in TEMPLATES}
