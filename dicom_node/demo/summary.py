"""What is said of one series at the end: noise, speed, origin, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread

from dicom_node import noise, pictures
from dicom_node.demo import results
from dicom_node.demo.images import ImageCredit, SeriesFiles
from dicom_node.demo.results import Origin, ResultFiles
from dicom_node.noise import Noise
from dicom_node.pictures import Box, View
from model_store.window import Window

_CT_CROP, _LUNG_CROP, _CT_SIDE = 192, 144, 576
_DX_CROP, _DX_SIDE = 384, 760
_CANDIDATES = 12


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """One series, before and after.

    Parameters
    ----------
    modality, heading, size : str
        Of the series; what it is called; its matrix size.
    source : ImageCredit
        Where its images come from.
    instances : int
        Results that arrived.
    noise : Noise
        Before and after, in `unit`.
    unit, method : str
        Unit of the noise, and how it was measured.
    origin : Origin
        Model and engine.
    seconds : float
        From the first byte sent to the arrival of the last result.
    views : tuple of View
        Rows of pictures for the report.
    hero : View
        The row for a picture of its own.
    """

    modality: str
    heading: str
    size: str
    source: ImageCredit
    instances: int
    noise: Noise
    unit: str
    method: str
    origin: Origin
    seconds: float
    views: tuple[View, ...]
    hero: View


def summarise(series: SeriesFiles, result_of: Mapping[str, Path], seconds: float) -> SeriesSummary:
    """Measure and draw one series.

    Parameters
    ----------
    series : SeriesFiles
        What was sent.
    result_of : Mapping[str, Path]
        SOP Instance UID of a source to the file of its result.
    seconds : float
        From the first byte sent to the arrival of the last result.
    """
    pairs = results.match(series.files, result_of)
    first = dcmread(pairs[0].source, stop_before_pixels=True)
    if first.Modality == "CT":
        region, unit, views = noise.SOFT_TISSUE, "HU", _ct_views(pairs)
    else:
        region, unit = noise.exposed(2 ** int(first.BitsStored) - 1), "grey levels"
        views = _radiograph_views(pairs[0], dcmread(pairs[0].source))
    return SeriesSummary(
        modality=str(first.Modality),
        heading=f"{first.Modality} · {first.get('SeriesDescription') or 'series'}",
        size=f"{first.Columns} x {first.Rows}",
        source=series.source,
        instances=len(pairs),
        noise=noise.measure(results.images(pairs), region),
        unit=unit,
        method=region.method,
        origin=results.origin(dcmread(pairs[0].result, stop_before_pixels=True)),
        seconds=seconds,
        views=views,
        hero=views[1],
    )


def _ct_views(pairs: Sequence[ResultFiles]) -> tuple[View, ...]:
    number, box = _telling_slice(pairs)
    ((before, after),) = results.images([pairs[number]])
    lung = pictures.lung_box(before, _LUNG_CROP)
    where = f"slice {number + 1} of {len(pairs)}"
    images = [(before, after), *((part.of(before), part.of(after)) for part in (box, lung))]
    scale = pictures.common_scale(images, _CT_SIDE)
    return (
        pictures.view(
            f"Whole {where}, {pictures.LUNG}",
            before,
            after,
            pictures.LUNG,
            "HU",
            side=_CT_SIDE,
            scale=scale,
            note="For orientation. Noise is judged in the enlargement below.",
        ),
        pictures.view(
            f"Mediastinum of {where}, {pictures.SOFT_TISSUE}",
            box.of(before),
            box.of(after),
            pictures.SOFT_TISSUE,
            "HU",
            side=_CT_SIDE,
            scale=scale,
            note=f"{_CT_CROP} x {_CT_CROP} pixels, enlarged as a viewer does.",
        ),
        pictures.view(
            f"Lung of {where}, {pictures.LUNG}",
            lung.of(before),
            lung.of(after),
            pictures.LUNG,
            "HU",
            side=_CT_SIDE,
            scale=scale,
            note=f"{_LUNG_CROP} x {_LUNG_CROP} pixels, enlarged as a viewer does. Vessels and "
            "airways are what denoising may not take away.",
        ),
    )


def _telling_slice(pairs: Sequence[ResultFiles]) -> tuple[int, Box]:
    """Index of the slice, in the middle half of the series, with most soft tissue in a square."""
    count = len(pairs)
    numbers = range(count // 4, max(count - count // 4, count // 4 + 1))
    best: tuple[float, int, Box] | None = None
    for number in numbers[:: max(1, len(numbers) // _CANDIDATES)]:
        image = results.pixels(dcmread(pairs[number].source))
        box, part = pictures.soft_tissue_box(image, _CT_CROP)
        if best is None or part > best[0]:
            best = (part, number, box)
    if best is None:
        raise ValueError("a series without images")
    return best[1], best[2]


def _radiograph_views(pair: ResultFiles, source: Dataset) -> tuple[View, ...]:
    ((before, after),) = results.images([pair])
    window: Window = pictures.display_window(source, before)
    crop = pictures.detailed_box(before, window, _DX_CROP)
    images = (before, after), (crop.of(before), crop.of(after))
    scale = pictures.common_scale(images, _DX_CROP)
    return (
        pictures.view(
            f"Whole radiograph, {window}",
            before,
            after,
            window,
            "grey levels",
            side=_DX_SIDE,
            scale=scale,
            note=f"Shrunk {max(before.shape) / _DX_SIDE:.1f} times by averaging, which hides "
            "noise; the difference, too. Judge by the part below.",
        ),
        pictures.view(
            f"Part of it, {window}",
            crop.of(before),
            crop.of(after),
            window,
            "grey levels",
            side=_DX_CROP,
            scale=scale,
            note=f"{_DX_CROP} x {_DX_CROP} pixels, neither enlarged nor shrunk.",
        ),
    )
