"""Error bodies of CRMs in shapes that no reference names: each is a message and never a crash."""

from __future__ import annotations

import pytest

from apps.crm.connectors import hubspot_errors, salesforce_errors
from apps.crm.connectors.exchange import Response, _parsed

BODIES = [
    b"",
    b"null",
    b"5",
    b"[null, 1]",
    b"<html>Bad gateway</html>",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"errors": 5}',
    b'{"errors": {"a": 1}}',
    b'{"errors": [1, {"message": 5, "context": []}]}',
    b'{"message": null, "errors": [{"context": {"requiredScopes": "x"}}]}',
    b'{"message": "x [not JSON] y", "policyName": 5}',
    b'{"error": {"code": "x", "message": "y"}}',
    b'[{"errorCode": ["x"], "message": {"a": 1}, "fields": 5}]',
]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 477, 500])
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_any_body_is_a_message(body: bytes, status: int) -> None:
    response = Response(status, {}, *_parsed(body))
    for failure in (
        hubspot_errors.failure,
        salesforce_errors.failure,
        salesforce_errors.token_failure,
    ):
        assert str(failure(response)).strip()
