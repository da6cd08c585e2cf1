"""``[promotion]``: what a model version must show before an alias of the routes may name it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from dicom_node.settings.section import Section
from model_store.ref import is_alias

_KEYS = re.compile(r'(?:"[^"]+"|[^."\s]+)(?:\.(?:"[^"]+"|[^."\s]+))*')
_KEY = re.compile(r'"([^"]+)"|([^."]+)')

Number = Annotated[float, Field(allow_inf_nan=False)]
Limit = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MetricRule(Section):
    """One number of a manifest and the bounds that it must keep.

    The number is named by a path of keys with dots between them, into the manifest's ``metrics``
    or, where the first key is ``validity``, into its statement of validity. A key with a dot stands
    in quotes; ``*`` is every key there is, and each number that is found must keep the bounds.
    """

    metric: str = Field(
        description="Path of keys into the manifest's metrics, or from `validity` on into its "
        "validity; `*` is every key, a key with a dot stands in quotes."
    )
    over: str | None = Field(
        None, min_length=1, description="Key beside the number whose number is subtracted first."
    )
    minimum: Number | None = Field(None, description="Least number that passes.")
    maximum: Number | None = Field(None, description="Greatest number that passes.")
    modality: tuple[str, ...] = Field(
        (), description="Only versions for one of these modalities; absent: all versions."
    )

    @field_validator("metric")
    @classmethod
    def _path(cls, metric: str) -> str:
        if not _KEYS.fullmatch(metric):
            raise ValueError(f"{metric!r} is not a path of keys such as headline.*.model")
        return metric

    @model_validator(mode="after")
    def _bounded(self) -> MetricRule:
        if self.minimum is None and self.maximum is None:
            raise ValueError("give minimum, maximum or both")
        if None not in (self.minimum, self.maximum) and self.minimum > self.maximum:  # type: ignore[operator]
            raise ValueError("minimum must not be above maximum")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the path, without quotes."""
        return tuple(quoted or plain for quoted, plain in _KEY.findall(self.metric))

    def __str__(self) -> str:
        return self.metric if self.over is None else f"{self.metric} over {self.over}"


class PromotionSettings(Section):
    """What a model version must show before a guarded alias is moved to it."""

    aliases: tuple[str, ...] = Field(
        ("production",),
        description="Aliases that are guarded: all gates are asked before one of them is moved.",
    )
    equivalence_hu: Limit = Field(
        1.0, description="Largest difference of a pixel from the reference engine, HU."
    )
    equivalence_grey: Limit = Field(
        1.0, description="The same for radiographs, in grey levels of 12 bits."
    )
    metrics: tuple[MetricRule, ...] = Field(
        (MetricRule(metric="headline.*.model", over="input", minimum=0.0),),
        description="Rules for the numbers in a version's manifest; see below.",
    )

    @field_validator("aliases")
    @classmethod
    def _tags(cls, aliases: tuple[str, ...]) -> tuple[str, ...]:
        for alias in aliases:
            if not is_alias(alias):
                raise ValueError(f"{alias!r} is not an alias such as production")
        return aliases
