"""Routes as they are written in ``node.toml``."""

from __future__ import annotations

import re
import string
from typing import Annotated

from pydantic import (
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from dicom_node.domain.condition import Condition
from dicom_node.domain.route import Output, Route
from dicom_node.settings.section import Name, Scalar, Section
from model_store.ref import ModelName

_WIDE = re.compile(r"\d{4}")


class ConditionTable(Section):
    """A condition written as a table."""

    equals: Scalar | None = None
    one_of: tuple[Scalar, ...] | None = Field(None, min_length=1)
    regex: str | None = None
    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)
    present: bool | None = None
    negate: bool = Field(False, alias="not")

    @model_validator(mode="after")
    def _says_something(self) -> ConditionTable:
        values = (self.equals, self.one_of, self.regex, self.min, self.max, self.present)
        if all(value is None for value in values):
            raise ValueError("give at least one of equals, one_of, regex, min, max, present")
        return self


def _form(value: object) -> str:
    if isinstance(value, (dict, ConditionTable)):
        return "table"
    return "list" if isinstance(value, (list, tuple)) else "value"


ConditionValue = Annotated[
    Annotated[Scalar, Tag("value")]
    | Annotated[tuple[Scalar, ...], Field(min_length=1), Tag("list")]
    | Annotated[ConditionTable, Tag("table")],
    Discriminator(_form),
]


class RouteSettings(Section):
    """One routing rule.

    `series_description` and `series_number` are templates: ``{SeriesDescription}``,
    ``{SeriesNumber}``, ``{Modality}``, ``{model}``, ``{version}``, ``{route}``, ``{strength}``.
    """

    name: Name
    when: dict[str, ConditionValue] = Field(
        default_factory=dict, description="DICOM keyword to value, list of values, or table."
    )
    model: str = Field(description="name@alias or name@version.")
    strength: float | None = Field(
        None,
        ge=0,
        le=1,
        strict=True,
        description="0: unchanged; 1: fully denoised; absent: what the model version recommends.",
    )
    output: Output = Field(Output.SECONDARY_CAPTURE, description="Form of the results.")
    destinations: tuple[Name, ...] = Field(min_length=1)
    series_description: str = Field("{SeriesDescription} denoised {model}", max_length=256)
    series_number: str = Field("9{SeriesNumber:03d}", max_length=64)

    @field_validator("when")
    @classmethod
    def _keywords(cls, when: dict[str, ConditionValue]) -> dict[str, ConditionValue]:
        from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 -- keeps start-up light

        for keyword in when:
            if tag_for_keyword(keyword) is None:
                raise ValueError(f"{keyword!r} is not a DICOM keyword (PS3.6)")
        return when

    @field_validator("series_description", "series_number")
    @classmethod
    def _template(cls, template: str) -> str:
        values = {"SeriesDescription": "", "Modality": "CT", "model": "m", "version": "1.0.0",
                  "route": "r", "strength": 1.0, "SeriesNumber": 1}  # fmt: skip
        try:
            for _, _, form, _ in string.Formatter().parse(template):
                if form and _WIDE.search(form):
                    raise ValueError(f"{form!r} makes a field too wide")  # noqa: TRY301
            for number in (1, 2**31 - 1, -(2**31)):
                template.format(**values | {"SeriesNumber": number})
        except (KeyError, IndexError, AttributeError, OverflowError, ValueError) as error:
            known = ", ".join(sorted(values))
            raise ValueError(f"template {template!r}: {error}; known fields: {known}") from error
        return template

    @field_validator("destinations")
    @classmethod
    def _each_once(cls, destinations: tuple[str, ...]) -> tuple[str, ...]:
        for name in destinations:
            if destinations.count(name) > 1:
                raise ValueError(f"{name!r} is named twice")
        return destinations

    @field_validator("model")
    @classmethod
    def _model(cls, model: str) -> str:
        ModelName.parse(model)
        return model

    @model_validator(mode="after")
    def _conditions_make_sense(self) -> RouteSettings:
        self.route()
        return self

    def route(self) -> Route:
        """The route in domain words."""
        return Route(
            name=self.name,
            when=tuple(_condition(keyword, value) for keyword, value in self.when.items()),
            model=ModelName.parse(self.model),
            strength=self.strength,
            output=self.output,
            destinations=self.destinations,
            series_description=self.series_description,
            series_number=self.series_number,
        )


def _condition(keyword: str, value: ConditionValue) -> Condition:
    if isinstance(value, ConditionTable):
        one_of = value.one_of if value.equals is None else (value.equals, *(value.one_of or ()))
        return Condition(
            keyword, one_of, value.regex, value.min, value.max, value.present, value.negate
        )
    return Condition(keyword, value if isinstance(value, tuple) else (value,))
