"""Base classes for request bodies and responses: each class parses, documents and serializes.

A request body is a `Body`: unknown keys and wrong types are rejected, with Debrief's own message
and the path of the field. A response is a `Schema` with a `from_…` method. The docstrings of
fields are their descriptions in the OpenAPI document, which also shows `example`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from .errors import Example, UserError
from .validation_messages import FieldProblem, problems_of, shown, summary_of

Json = dict[str, Any]
Count = Annotated[int, Field(ge=0)]
Money = Annotated[
    str, Field(description="US dollars as text, to be exact.", pattern=r"^-?\d+(\.\d+)?$")
]
Time = Annotated[
    datetime,
    AfterValidator(lambda at: at.astimezone(UTC)),
    Field(description="ISO 8601 with a zone."),
]


@dataclass(frozen=True, slots=True)
class _AsStored:
    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        documented = handler(source)
        return core_schema.no_info_plain_validator_function(
            lambda value: value,
            json_schema_input_schema=documented,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )


AS_STORED = _AsStored()
"""Of a value that is returned as it is in the database, neither checked nor converted."""


class UnknownKeys(UserError):
    """Raised for a key that means nothing: a typo must not pass silently."""

    code = "unknown_keys"
    example = Example("Unknown key: nmae. Expected: channel, name.", {"nmae": "Unknown key."})


class MissingField(UserError):
    """Raised for a body that lacks a required field."""

    code = "missing_field"
    example = Example(
        "messages is required. Send [] if there are none.", {"messages": "messages is required."}
    )


class InvalidValue(UserError):
    """Raised for a value of the wrong type or outside the allowed range."""

    code = "invalid_value"
    example = Example(
        "channel must be voice or chat, not “fax”.",
        {"channel": "channel must be voice or chat, not “fax”."},
    )


def eg(value: Any) -> Any:
    """Give a field an example value: the document shows it, and examples are made of them."""
    return Field(examples=[value])


class Schema(BaseModel):
    """Base of all request bodies and responses."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
    )
    example: ClassVar[Json] = {}

    @classmethod
    def get_example(cls) -> Json:
        """Return the example of the class, or one made of those of its required fields."""
        required = {n: field for n, field in cls.model_fields.items() if field.is_required()}
        return cls.example or {f.alias or n: _example_of(f) for n, f in required.items()}

    def as_dict(self) -> Json:
        """Return the fields that were set, as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True)

    def as_json(self) -> str:
        """Return the fields that were set, as JSON text."""
        return self.model_dump_json(exclude_unset=True)


def _example_of(field: FieldInfo) -> Any:
    """Return the example of a field. Without one, an optional field is null, any other empty."""
    if field.examples:
        return field.examples[0]
    kind = field.annotation
    alternatives = [kind, *get_args(kind)]
    if type(None) in alternatives:
        return None
    nested = [a for a in alternatives if isinstance(a, type) and issubclass(a, Schema)]
    if nested:
        example = nested[0].get_example()
        return [example] if get_origin(kind) is list else example
    return (get_origin(kind) or kind)()  # type: ignore[misc]


class Body(Schema):
    """Base of what callers send. Its errors can be other ones than the usual, by kind or field."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    unknown: ClassVar[type[UserError]] = UnknownKeys
    missing: ClassVar[type[UserError]] = MissingField
    wrong_type: ClassVar[type[UserError]] = InvalidValue
    invalid: ClassVar[type[UserError]] = InvalidValue
    by_field: ClassVar[Mapping[str, type[UserError]]] = {}

    @classmethod
    def parse(cls, data: object) -> Self:
        """Return the body that some JSON holds. Raises the UserError of its first problem."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise cls.error_for(problems_of(error, data)) from None

    @classmethod
    def error_codes(cls) -> set[str]:
        """Return the codes that `parse` may raise."""
        errors = {cls.unknown, *cls.by_field.values()}
        for name, field in cls.model_fields.items():
            if name not in cls.by_field:
                errors |= {cls.invalid, cls.wrong_type}
                errors |= {cls.missing} if field.is_required() else set()
        return {error.code for error in errors}

    def given(self) -> Json:
        """Return the fields that were sent, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    @classmethod
    def error_for(cls, problems: list[FieldProblem]) -> UserError:
        """Return the error that names all of these problems."""
        first = problems[0]
        kinds = {"unknown": cls.unknown, "missing": cls.missing, "type": cls.wrong_type}
        error = cls.by_field.get(first.path.partition(".")[0])
        error = error or kinds.get(first.kind, cls.invalid)
        message = summary_of(problems, [f.alias or name for name, f in cls.model_fields.items()])
        return error(message, {p.path: p.message for p in problems[:20]})


def rejected(rule: str) -> PydanticCustomError:
    """Return the error of a validator; ``rule`` follows the name of the field."""
    return PydanticCustomError("rejected", "{rule}", {"rule": rule})


Choice = Field(strict=False)
"""Of a field with an enum: its values are sent as strings."""


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """Limits of a whole number, named together where one is missed: 2.0 is whole, true isn't."""

    low: int
    high: int
    unit: str = ""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        whole = core_schema.int_schema(ge=self.low, le=self.high)
        return core_schema.no_info_before_validator_function(self._checked, whole)

    def _checked(self, value: object) -> int:
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        if is_number and self.low <= value <= self.high and value == int(value):  # type: ignore[operator, call-overload]
            return int(value)  # type: ignore[call-overload, no-any-return]
        unit = f" {self.unit}" if self.unit else ""
        rule = f"must be a whole number from {self.low:,} to {self.high:,}{unit}"
        raise rejected(f"{rule}, not {shown(value)}")


@dataclass(frozen=True, slots=True)
class Percentage:
    """Limits of a percentage: up to 100, from 0 or from above 0."""

    above_zero: bool = False
    decimals: int = 3

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        number = (
            core_schema.float_schema(gt=0, le=100)
            if self.above_zero
            else core_schema.float_schema(ge=0, le=100)
        )
        return core_schema.no_info_before_validator_function(self._checked, number)

    def _checked(self, value: object) -> float:
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        number = Decimal(str(value)) if is_number else Decimal("NaN")
        rule = "must be more than 0 and at most 100" if self.above_zero else "must be from 0 to 100"
        if not number.is_finite() or not 0 <= number <= 100 or (self.above_zero and not number):
            raise rejected(f"{rule} percent, not {shown(value)}")
        if number != round(number, self.decimals):
            raise rejected(f"must have at most {self.decimals} decimal places, not {shown(value)}")
        return float(number)


@dataclass(frozen=True, slots=True)
class Dollars:
    """An amount of US dollars above 0, sent as text to be exact."""

    most: int = 1_000_000
    decimals: int = 4

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        text = core_schema.str_schema(pattern=rf"^[0-9]{{1,7}}(\.[0-9]{{1,{self.decimals}}})?$")
        return core_schema.no_info_before_validator_function(
            self._checked, core_schema.nullable_schema(text)
        )

    def _checked(self, value: object) -> str | None:
        if value is None:
            return None
        amount = Decimal("NaN")
        if isinstance(value, Decimal):
            amount = value
        elif isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", value):
            amount = Decimal(value)
        if not amount.is_finite() or not 0 < amount <= self.most:
            rule = f"must be US dollars as text, more than 0 and at most {self.most:,}"
            raise rejected(f"{rule}, not {shown(value)}")
        if amount != round(amount, self.decimals):
            raise rejected(f"must have at most {self.decimals} decimal places, not {shown(value)}")
        return f"{max(amount.normalize(), amount.quantize(Decimal('0.01')), key=_places):f}"


def _places(amount: Decimal) -> int:
    return -int(amount.as_tuple().exponent)


@dataclass(frozen=True, slots=True)
class OneOf:
    """A string out of a list that is stored elsewhere."""

    values: tuple[str, ...]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.literal_schema(list(self.values))


VersionNumber = Annotated[int, WholeNumber(0, 2**31 - 1)]
