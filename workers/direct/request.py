"""What is asked for when a file is denoised at once, and what its result is to say of that."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from dicom_node.domain.route import Output, Route
from dicom_node.errors import ConfigError, WrongUse
from dicom_node.routing.eligibility import Units
from dicom_node.settings import Settings
from model_store.ref import ModelName
from workers.load import Rescale

ROUTE: Final = "command-line"
"""Name of the route that a result states, and its UIDs are derived from, where none is given."""

DEFAULT_MODELS: Final[dict[Units, ModelName]] = {
    "HU": ModelName("ct-default", "production"),
    "stored": ModelName("xray-default", "production"),
}
"""What denoises CT, and what denoises radiographs, where no model is named."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FEWEST_BITS: Final = 8
_MOST_BITS: Final = 16


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Request:
    """How a file is to be denoised.

    A node's result depends on its source, the model version, the settings, and on the fields below:
    with those of a route, and the time at which the node planned it, it is the node's, byte for
    byte.

    Parameters
    ----------
    model : ModelName, optional
        Alias or version; absent: that of `DEFAULT_MODELS` for the kind of image.
    strength : float, optional
        0 to 1; absent: what the model version recommends.
    route : str
        Name of the route.
    output : Output
        Form of a DICOM result.
    series_description, series_number : str
        Templates; see `dicom_node.settings.RouteSettings`.
    at : datetime
        When the result says it was made; aware.
    hounsfield : Rescale, optional
        What grey values of a PNG, JPEG or TIFF are in HU; see `hounsfield`.
    bits : int, optional
        Bits that the grey values of such an image use, 8 to 16; absent: all that it has.

    Raises
    ------
    ValueError
        If a number is not as described, or the time has no zone.
    """

    model: ModelName | None = None
    strength: float | None = None
    route: str = ROUTE
    output: Output = Output.SECONDARY_CAPTURE
    series_description: str = "{SeriesDescription} denoised {model}"
    series_number: str = "9{SeriesNumber:03d}"
    at: datetime = field(default_factory=_now)
    hounsfield: Rescale | None = None
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be between 0 and 1, not {self.strength}")
        if self.bits is not None and not _FEWEST_BITS <= self.bits <= _MOST_BITS:
            raise ValueError(f"grey values have 8 to 16 bits, not {self.bits}")
        if self.at.tzinfo is None:
            raise ValueError("the time of a result must have a time zone")

    @classmethod
    def of_route(cls, settings: Settings, name: str | None, **changes: Any) -> Request:
        """What a route of the settings makes, with what is asked for besides.

        Parameters
        ----------
        settings : Settings
            Without routes, `name` is only the name that results state.
        name : str, optional
            Of the route; absent: none.
        changes
            Fields that are asked for; those that are None are as the route has them.

        Raises
        ------
        ConfigError
            There are routes, and none of that name.
        WrongUse
            It is no name for one.
        ValueError
            A value is not as described.
        """
        stated = {key: value for key, value in changes.items() if value is not None}
        if name is None:
            return cls(**stated)
        routes = {route.name: route for route in settings.domain_routes()}
        if not routes and _NAME.fullmatch(name):
            return cls(**{"route": name, **stated})
        if name not in routes:
            if not routes:
                raise WrongUse(f"route {name!r} is not 1 to 63 of A-Z a-z 0-9 . _ -")
            raise ConfigError(f"no route {name!r}; there is {', '.join(sorted(routes))}")
        route = routes[name]
        fields = {
            "model": route.model, "strength": route.strength, "route": route.name,
            "output": route.output, "series_description": route.series_description,
            "series_number": route.series_number,
        }  # fmt: skip
        return cls(**{**fields, **stated})

    def rule(self, units: Units) -> Route:
        """The route that stands for this, for images of these units; it takes every image."""
        return Route(
            name=self.route,
            when=(),
            model=self.model or DEFAULT_MODELS[units],
            strength=self.strength,
            output=self.output,
            destinations=(),
            series_description=self.series_description,
            series_number=self.series_number,
        )


def hounsfield(text: str) -> Rescale:
    """Read ``GREY=HU,GREY=HU``: what two grey values are in Hounsfield units.

    ``0=-1024,4095=3071`` says that 0 is -1024 HU and 4095 is 3071 HU, and with that what all are.

    Raises
    ------
    ValueError
        If `text` is not of that form, or both grey values or both HU are the same.
    """
    try:
        (grey, hu), (other_grey, other_hu) = (
            [float(number) for number in pair.split("=")] for pair in text.split(",")
        )
    except ValueError:
        raise ValueError(
            f"{text!r} is not of the form GREY=HU,GREY=HU, such as 0=-1024,4095=3071"
        ) from None
    if not all(map(math.isfinite, (grey, hu, other_grey, other_hu))):
        raise ValueError(f"{text!r} has a value that is not a finite number")
    if grey == other_grey or hu == other_hu:
        raise ValueError(f"{text!r} names one value twice; two are needed to know the rest")
    slope = (other_hu - hu) / (other_grey - grey)
    return Rescale(slope, hu - slope * grey)
