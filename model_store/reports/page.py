"""The page of a model version, and the index over all of them, as self-contained HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from model_store.reports.figures import (
    Figure,
    loss_figures,
    spectrum_figures,
    sweep_figures,
    transfer_figures,
)
from model_store.reports.findings import Findings
from model_store.reports.tables import MINUS, TextTable, number

if TYPE_CHECKING:
    from model_store.reports.pictures import CasePictures

_CODE, _BOLD = re.compile(r"`([^`]+)`"), re.compile(r"\*\*([^*]+)\*\*")


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One row of the index; texts, empty where nothing was measured.

    Parameters
    ----------
    gain : str
        Smallest and largest gain over the groups, dB.
    above_bm3d : str
        In how many groups it is above BM3D with the estimated noise.
    no_gain : str
        Quality of the input above which it does harm.
    phantoms : str
        How many limits are kept.
    """

    gain: str
    above_bm3d: str
    no_gain: str
    phantoms: str

    @classmethod
    def of(cls, findings: Findings) -> IndexRow:
        """Sum up."""
        groups = [item for item in findings.headline.values() if item.get("model") is not None]
        gains = [item["model"] - item["input"] for item in groups if item.get("input") is not None]
        known = [item for item in groups if item.get("bm3d_estimated_noise") is not None]
        above = sum(item["model"] > item["bm3d_estimated_noise"] for item in known)
        sweep, gates = findings.sweep, (findings.physics or {}).get("gates") or []
        no_gain = ""
        if sweep is not None and sweep.crossing is not None:
            no_gain = f"{sweep.crossing:.1f} dB"
        elif sweep is not None:
            no_gain = f"none up to {sweep.gain[-1][0]:.0f} dB"
        kept = sum(bool(gate["passed"]) for gate in gates)
        return cls(
            f"{min(gains):+.1f} to {max(gains):+.1f}".replace("-", MINUS) if gains else "",
            f"{above} of {len(known)}" if known else "",
            no_gain,
            f"{kept} of {len(gates)} limits" if gates else "",
        )


@dataclass(frozen=True)
class Page:
    """What the template of one version asks for.

    Parameters
    ----------
    findings : Findings
        All that is known.
    pictures : sequence of CasePictures
        Held-out images; empty without data.
    aliases : sequence of str
        Names in routes that stand for this version.
    """

    findings: Findings
    pictures: Sequence[CasePictures] = ()
    aliases: Sequence[str] = ()

    @cached_property
    def figures(self) -> Mapping[str, list[Figure]]:
        """Figures of each section."""
        found = self.findings
        return {
            "sweep": sweep_figures(found.sweep, found.manifest),
            "spectrum": spectrum_figures(found.physics),
            "transfer": transfer_figures(found.physics),
            "loss": loss_figures(found.losses),
        }

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Names and values of the head."""
        manifest = self.findings.manifest
        macs = manifest.macs_per_pixel
        units = "HU" if manifest.input.units == "HU" else "stored values, as a share of their range"
        parts = ", ".join(manifest.body_parts) or "any body part"
        stated = manifest.model_dump(mode="json")
        return [
            *([("Released", str(stated["released"]))] if stated.get("released") else []),
            ("System", manifest.system),
            ("For", f"{', '.join(manifest.modality)}; {parts}"),
            ("Parameters", f"{manifest.parameters:,}"),
            ("Cost", f"{macs:,} multiply-adds a pixel, {macs * 512**2 / 1e9:.1f} G for 512 x 512"),
            ("Input", f"{units}, {manifest.input.minimum:g} to {manifest.input.maximum:g}; "
                      "what is outside is copied through"),
            ("Tiles", f"overlap {manifest.tiling.margin} pixels, sizes in multiples of "
                      f"{manifest.tiling.stride}"),
            ("Trained", self._trained()),
            ("Trained on", manifest.training_data),
            ("Noise of the training", manifest.trained_noise.description),
            ("Licence of the weights", manifest.licence),
            *([("Stands behind", ", ".join(self.aliases))] if self.aliases else []),
        ]  # fmt: skip

    @property
    def summary(self) -> IndexRow:
        """Its row of the index."""
        return IndexRow.of(self.findings)

    def _trained(self) -> str:
        done: Mapping[str, Any] = self.findings.manifest.metrics.get("training") or {}
        recipe = self.findings.recipe
        parts = []
        if "iterations" in done:
            parts.append(f"{done['iterations']:,} iterations")
        if recipe is not None:
            section = recipe.training
            parts.append(f"of {section.batch} patches of {section.patch} x {section.patch} pixels")
        if "minutes" in done:
            parts.append(f"in {done['minutes']:.0f} minutes")
        hardware = done.get("hardware") or done.get("device")
        parts.append(f"on {hardware}" if hardware else "(hardware not recorded)")
        start = done.get("start")
        return " ".join(parts) + (f", beginning with the weights of {start}" if start else "")


def render_page(page: Page) -> str:
    """HTML of one version's page."""
    return _environment().get_template("version.html.j2").render(page=page, found=page.findings)


def render_index(pages: Mapping[str, Page]) -> str:
    """HTML of the table over all versions.

    Parameters
    ----------
    pages : mapping
        File name beside the index to its page.
    """
    return _environment().get_template("index.html.j2").render(pages=pages)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("model_store.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "prose": prose,
        "svg": Markup,
        "text_table": TextTable.of,
    }
    return environment


def prose(text: str) -> Markup:
    """Plain text with ``- `` lists, backticks and bold, as a recipe has it, to HTML."""
    parts: list[Markup] = []
    items: list[Markup] = []

    def close() -> None:
        if items:
            parts.append(Markup("<ul>{}</ul>").format(Markup("").join(items)))
            items.clear()

    for line in (line.strip() for line in text.strip().splitlines()):
        if line.startswith("- "):
            items.append(Markup("<li>{}</li>").format(_inline(line[2:])))
            continue
        close()
        if line:
            parts.append(Markup("<p>{}</p>").format(_inline(line)))
    close()
    return Markup("\n").join(parts)


def _inline(line: str) -> Markup:
    text = _BOLD.sub(r"<strong>\1</strong>", _CODE.sub(r"<code>\1</code>", str(escape(line))))
    return Markup(text)  # noqa: S704 -- escaped
