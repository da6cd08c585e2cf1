"""What only a person can say of a network that was trained elsewhere, and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from model_store.engines.equivalence import TWELVE_BITS
from model_store.engines.tiles import span
from model_store.graph import Graph
from model_store.manifest import InputSpec, Manifest, TilingSpec, TrainedNoise


@dataclass(frozen=True, slots=True)
class Answers:
    """What nobody can measure.

    Parameters
    ----------
    name, version : str
        Of the new version.
    intended_use, training_data, licence, limits : str
        In words, for manifest and card.
    noise : TrainedNoise
        What it was trained for.
    modality, body_parts : sequence of str
        What images it is for.
    input : InputSpec
        How values become its input.
    strength : float
        Of routes that state none.
    output : {"image", "residual"}, optional
        What it gives; absent: as it shows.
    stride, margin : int, optional
        Absent: as measured.
    """

    name: str
    version: str
    intended_use: str
    training_data: str
    licence: str
    limits: str
    noise: TrainedNoise
    modality: Sequence[str]
    body_parts: Sequence[str]
    input: InputSpec
    strength: float = 1.0
    output: Literal["image", "residual"] | None = None
    stride: int | None = None
    margin: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the file and a few runs of it show.

    Parameters
    ----------
    graph : Graph
        Operators, operator set, names of input and output.
    stride : int
        Smallest multiple of rows and columns that it takes.
    reach : int
        Pixels from which a pixel is changed.
    tiling : TilingSpec
        With which tiles fit together.
    output : {"image", "residual"}
        What it gives.
    tile_difference : float
        Between an image in tiles and the whole, as a part of the range.
    library : str
        What ran it.
    """

    graph: Graph
    stride: int
    reach: int
    tiling: TilingSpec
    output: Literal["image", "residual"]
    tile_difference: float
    library: str

    def lines(self, manifest: Manifest) -> list[tuple[str, str]]:
        """Titles and what was found, for a table."""
        graph = self.graph
        given = "the denoised image" if self.output == "image" else "what is to be added"
        begins = (
            f"; tiles begin at multiples of {self.tiling.stride}"
            if self.tiling.stride != self.stride
            else ""
        )
        return [
            ("input", f"{graph.source}: [N, 1, H, W], all three free"),
            ("output", f"{graph.target}: {given}"),
            ("operator set", f"{graph.opset}"),
            (
                "operators",
                ", ".join(f"{name} {count}" for name, count in graph.operators.items()),
            ),
            ("parameters", f"{graph.numbers:,}"),
            ("multiply-adds a pixel", f"{graph.macs_per_pixel:,}"),
            ("sizes", f"multiples of {self.stride}{begins}"),
            ("reach", f"{self.reach} pixels; margin of tiles {self.tiling.margin}"),
            ("tiles against whole", self.difference(manifest)),
            ("values", input_of(manifest.input)),
        ]

    def difference(self, manifest: Manifest) -> str:
        """How far tiles are from the whole, in words."""
        hounsfield = manifest.input.units == "HU"
        unit = span(manifest) * manifest.input.scale if hounsfield else TWELVE_BITS
        words = "HU" if hounsfield else "grey levels of 12 bits"
        return f"{self.tile_difference * unit:.2g} {words} at most"

    def entry(self, source: str, like: str, limits: str) -> Mapping[str, Any]:
        """What the manifest keeps of it."""
        return {
            "file": source,
            "like": like,
            "opset": self.graph.opset,
            "reference": self.library,
            "reach": self.reach,
            "tile_difference": float(f"{self.tile_difference:.3g}"),
            "limits": limits,
        }


def input_of(spec: InputSpec) -> str:
    """How values become network input, in words."""
    if spec.units == "HU":
        return (
            f"(HU + {spec.offset:g}) / {spec.scale:g}; {spec.minimum:g} to {spec.maximum:g} HU, "
            "others are copied through"
        )
    return f"stored values, {spec.minimum:g} to {spec.maximum:g} of the full range"
