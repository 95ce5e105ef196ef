"""Schemas in the form in which platforms print theirs, not in the one that strict mode takes.

A part of the fields required, no ``additionalProperties``, an untyped field, and once no type at
all. The fields are those of the product's templates.
"""

from typing import Any

CUSTOMER_SUPPORT = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "description": "Brief summary of the customer's issue"},
        "issue_category": {
            "type": "string",
            "enum": [
                *("account_access", "billing", "product_bug", "feature_request", "how_to"),
                "other",
            ],
            "description": "Primary category of the issue",
        },
        "resolution_status": {
            "type": "string",
            "enum": ["resolved", "escalated", "pending", "unresolved"],
        },
        "customer_effort_score": {
            "type": "integer",
            "minimum": 1,
            "maximum": 5,
            "description": "1 = easy, 5 = hard",
        },
        "escalation_reason": {"type": "string", "description": "If escalated, why"},
    },
    "required": ["summary", "issue_category", "resolution_status"],
}

SUPPORT_SHORT = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "topic": {
            "type": "string",
            "enum": ["billing", "technical_support", "sales", "general", "complaint"],
        },
        "resolved": {"type": "boolean", "description": "Was the issue resolved?"},
        "sentiment": {"type": "string", "enum": ["positive", "neutral", "negative"]},
        "follow_up_needed": {"type": "boolean"},
        "follow_up_notes": {"type": "string"},
    },
    "required": ["summary", "topic", "resolved", "sentiment"],
}

SALES = {
    "type": "object",
    "properties": {
        "lead_quality": {"type": "string", "enum": ["hot", "warm", "cold", "unqualified"]},
        "budget_mentioned": {"type": "boolean"},
        "budget_range": {"type": "string"},
        "timeline": {"type": "string", "description": "Purchase timeline"},
        "decision_maker": {"type": "boolean"},
        "competitor_mentioned": {"type": "array", "items": {"type": "string"}},
        "next_step": {"type": "string"},
    },
}

QUALITY_ASSURANCE = {
    "type": "object",
    "properties": {
        "greeting_proper": {"type": "boolean"},
        "identification_verified": {"type": "boolean"},
        "accurate_information": {"type": "boolean"},
        "professional_tone": {"type": "boolean"},
        "closing_proper": {"type": "boolean"},
        "compliance_issues": {"type": "array", "items": {"type": "string"}},
        "overall_score": {"type": "integer", "minimum": 0, "maximum": 100},
    },
    "required": ["overall_score"],
}

UNTYPED: dict[str, Any] = {"properties": {"summary": {}}}

VENDORS: dict[str, dict[str, Any]] = {
    "customer_support": CUSTOMER_SUPPORT,
    "support_short": SUPPORT_SHORT,
    "sales_qualification": SALES,
    "quality_assurance": QUALITY_ASSURANCE,
    "untyped": UNTYPED,
}

#: What people write beyond the templates: nested, lists of objects, formats, references.
NESTED = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "customer": {
            "type": "object",
            "properties": {
                "email": {"type": "string", "format": "email"},
                "born": {"type": "string", "format": "date"},
                "plan": {"$ref": "#/$defs/plan"},
            },
            "required": ["plan"],
        },
        "orders": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "number": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
                    "amount": {"type": "number", "minimum": 0, "exclusiveMaximum": 100000},
                },
                "required": ["number"],
            },
        },
        "score": {"type": ["integer", "null"], "minimum": 0, "maximum": 10, "multipleOf": 5},
        "callback_at": {"type": "string", "format": "date-time"},
        "reachable_by": {
            "type": "array",
            "items": {"type": "string", "enum": ["phone", "email"]},
            "uniqueItems": True,
        },
    },
    "required": ["orders"],
    "$defs": {"plan": {"type": "string", "enum": ["basic", "pro"]}},
}
