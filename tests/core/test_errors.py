from apps.core.errors import BadRequest, Conflict, NotFound, Refused, UserError


def test_says_its_message_and_its_fields() -> None:
    error = UserError("Nothing to fill in.", {"schema": "It has no field."})

    assert str(error) == error.message == "Nothing to fill in."
    assert error.fields == {"schema": "It has no field."}


def test_fields_are_copied() -> None:
    given = {"a": "b"}
    error = UserError("No.", given)
    given.clear()

    assert error.fields == {"a": "b"}


def test_kinds_have_the_status_of_their_answer() -> None:
    kinds = [BadRequest, NotFound, Conflict, Refused, UserError]

    assert [kind.status for kind in kinds] == [400, 404, 409, 403, 422]
    assert all(issubclass(kind, UserError) for kind in kinds)
