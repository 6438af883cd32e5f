"""What every message has in common: frozen, read leniently (unknown fields ignored), written canonically (absent = not computed)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Self

import orjson
from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    ValidationError,
)
from pydantic.fields import FieldInfo

from schemas.errors import MessageInvalid


def rfc3339(moment: datetime) -> str:
    """Return `moment` as RFC 3339 in UTC with milliseconds and a `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie in the years 1 to 9999 in UTC") from None


def _six_digits(value: float) -> float:
    return round(value, 6)


Instant = Annotated[
    AwareDatetime,
    AfterValidator(_to_utc),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
]
"""A moment: any offset is read, UTC with `Z` is written."""

Probability = Annotated[float, PlainSerializer(_six_digits, return_type=float, when_used="json")]
"""0..1, written with six digits; the bounds are checked where the field is declared."""


class Message(BaseModel):
    """A value on a topic. `to_bytes` is canonical: sorted keys, absent fields left out, so equal messages are equal bytes."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=(), ser_json_inf_nan="null"
    )

    def to_bytes(self) -> bytes:
        """Serialise canonically."""
        return orjson.dumps(self.to_json(), option=orjson.OPT_SORT_KEYS)

    def to_json(self) -> dict[str, Any]:
        """Return the message as JSON-compatible values, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Parse `value`.

        Raises:
            MessageInvalid: naming each field at fault and why.
        """
        try:
            return cls.model_validate_json(value)
        except ValidationError as error:
            raise MessageInvalid(f"not a valid {cls.__name__}", why=fault_list(error)) from None


def fault_list(error: ValidationError, *, at_most: int = 5, show_keys: bool = False) -> str:
    """Say for each faulty field what is wrong with it, without repeating the input: it may hold a user's data.

    `show_keys` names the keys of mappings too: for an operator's own configuration.
    """
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    said = [
        f"{'.'.join(map(str, fault['loc']) if show_keys else _named(fault['loc'])) or 'value'}: {fault['msg']}"
        for fault in faults[:at_most]
    ]
    if len(faults) > at_most:
        said.append(f"and {len(faults) - at_most} more")
    return "; ".join(said)


def _named(path: tuple[int | str, ...]) -> Iterator[str]:
    """Yield the steps to a field; the keys of a mapping are input too, so they are left out."""
    known = _field_names(BaseModel)
    for step in path:
        yield str(step) if isinstance(step, int) or step in known else "*"


@cache
def _field_names(model: type[BaseModel]) -> frozenset[str]:
    names = (
        {name for field in model.model_fields.items() for name in _spellings(*field)}
        if model is not BaseModel
        else set()
    )
    return frozenset(names.union(*(_field_names(child) for child in model.__subclasses__())))


def _spellings(name: str, field: FieldInfo) -> Iterator[str]:
    yield name
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        yield from (choice for choice in alias.choices if isinstance(choice, str))
    elif isinstance(alias, str):
        yield alias
