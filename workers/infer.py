"""The denoising stage: frames in physical units in, denoised frames in the same units out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from dicom_node.errors import FailItem, RetryLater
from model_store.engines.base import DeviceLostError, Engine, EngineMemoryError
from model_store.errors import EngineError
from model_store.manifest import Manifest
from model_store.store import ModelVersion
from workers.frame import Frame
from workers.tiling import Span, default_tile, reflected, smallest_tile, spans

_USUAL = 512
CallsDone = Callable[[int], None]
"""Called with the number of engine calls that have returned so far."""

TilesDone = Callable[[int, int], None]
"""Called with how many tiles are done, and of how many: one of an image that is seen at once."""


class Denoiser:
    """Run a model version over frames of any size, in bounded memory.

    The result is ``x + strength * (G(x) - x)`` in float32. Pixels that are not valid, and pixels
    outside the range that the model was made for, come through bit for bit; all others stay within
    that range.

    Parameters
    ----------
    version : ModelVersion
        The model; its manifest states units, range, margin and stride.
    engine : Engine
        Built from that version.
    tile : int
        Longest side of what the network sees at once; 0 weighs the model's margin against memory
        (`workers.tiling.default_tile`). Less than the model needs is raised to what it needs.
    batch : int
        Most images in one call; large images go in smaller batches, so that a batch never has more
        pixels than a square tile, or than the batch of 512 x 512 that the engine prefers. 0 is what
        the engine prefers.

    Raises
    ------
    ValueError
        If the engine is of another model version, or `tile` or `batch` is negative.
    """

    def __init__(
        self,
        version: ModelVersion,
        engine: Engine,
        *,
        tile: int = 0,
        batch: int = 0,
    ) -> None:
        spec = version.manifest.tiling
        if engine.ref != version.ref:
            raise ValueError(f"the engine is of {engine.ref}, not of {version.ref}")
        self._manifest = version.manifest
        self._engine = engine
        if tile < 0 or batch < 0:
            raise ValueError(f"tile and batch must not be negative: {tile}, {batch}")
        self._tile = max(tile, smallest_tile(spec)) if tile else default_tile(spec)
        self._batch = batch or engine.preferred_batch
        together = engine.preferred_batch * _USUAL**2 if engine.preferred_batch > 1 else 0
        self._pixels = max(self._tile**2, together)

    @property
    def engine(self) -> Engine:
        """The engine that runs the network."""
        return self._engine

    def describe(self) -> dict[str, str]:
        """What the engine says of itself, and how images were cut, for the audit record."""
        return {**self._engine.describe(), "tile": str(self._tile), "batch": str(self._batch)}

    def denoise(
        self,
        frames: Sequence[Frame],
        *,
        strength: float = 1.0,
        on_progress: CallsDone | None = None,
        on_tiles: TilesDone | None = None,
    ) -> list[NDArray[np.float32]]:
        """Denoise frames.

        Parameters
        ----------
        frames : sequence of Frame
            Any sizes; neighbours of one size share a call.
        strength : float
            0 leaves every pixel as it was, 1 is the network's own result.
        on_progress : callable, optional
            Called after every engine call with the number of calls so far, so that a lease can be
            renewed during long work.
        on_tiles : callable, optional
            Called as often, with how much of all is done.

        Returns
        -------
        list of ndarray of float32, shape (H, W)
            One for each frame, in the same order and units, not rounded.

        Raises
        ------
        ValueError
            If `strength` is not between 0 and 1.
        FailItem
            If a frame, or what the network made of it, has values that are not finite, or if the
            engine fails.
        RetryLater
            If memory does not suffice for even one tile.
        DeviceLostError
            If the engine's device is lost: the process must end.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be between 0 and 1, not {strength}")
        for number, frame in enumerate(frames, start=1):
            if not np.isfinite(frame.values).all():
                raise FailItem(f"frame {number} has values that are not finite numbers")
        jobs = [_Job(frame, self._manifest, strength) for frame in frames]
        tiles = sum(len(self._tiles(job.frame.shape)) for job in jobs)
        calls = _Calls(self._engine, on_progress, on_tiles, tiles)
        calls.kept(0)
        for shape, group in groupby(jobs, key=lambda job: job.frame.shape):
            self._denoise_alike(list(group), shape, calls)
        return [job.result for job in jobs]

    def _denoise_alike(self, jobs: list[_Job], shape: tuple[int, int], calls: _Calls) -> None:
        tiles = self._tiles(shape)
        row, column = tiles[0]
        pixels = (row.stop - row.start) * (column.stop - column.start)
        at_once = max(1, min(self._batch, self._pixels // pixels))
        work = [(job, row, column) for job in jobs for row, column in tiles]
        while work:
            taken = work[:at_once]
            x = np.stack([job.input(row, column) for job, row, column in taken])
            try:
                made = calls(x[:, np.newaxis])
            except EngineMemoryError as error:
                if len(taken) == 1:
                    raise RetryLater(str(error)) from error
                at_once = len(taken) // 2
                continue
            for (job, row, column), y in zip(taken, made[:, 0], strict=True):
                job.keep(row, column, y)
            del work[:at_once]
            calls.kept(len(taken))

    def _tiles(self, shape: tuple[int, int]) -> list[tuple[Span, Span]]:
        spec = self._manifest.tiling
        rows, columns = (spans(side, self._tile, spec) for side in shape)
        return [(row, column) for row in rows for column in columns]


@dataclass(slots=True)
class _Calls:
    """Engine calls, counted and reported, their errors in the node's words."""

    engine: Engine
    on_progress: CallsDone | None
    on_tiles: TilesDone | None
    tiles: int
    done: int = 0
    tiles_done: int = 0

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            made = self.engine.infer(x)
        except (EngineMemoryError, DeviceLostError):
            raise
        except EngineError as error:
            raise FailItem(str(error)) from error
        if not np.isfinite(made).all():
            raise FailItem(f"{self.engine.ref} gave values that are not finite numbers")
        self.done += 1
        if self.on_progress is not None:
            self.on_progress(self.done)
        return made

    def kept(self, count: int) -> None:
        """Tell of tiles that are part of a result now."""
        self.tiles_done += count
        if self.on_tiles is not None:
            self.on_tiles(self.tiles_done, self.tiles)


class _Job:
    """One frame on its way: cuts network input out of it and collects the result."""

    def __init__(self, frame: Frame, manifest: Manifest, strength: float) -> None:
        spec = manifest.input
        self.frame = frame
        self.result = frame.values.copy()
        self._strength = np.float32(strength)
        self._residual = manifest.output == "residual"
        unit = frame.full_scale if spec.units == "stored" else 1.0
        self._low = np.float32(spec.minimum * unit)
        self._high = np.float32(spec.maximum * unit)
        self._offset = np.float32(spec.offset)
        self._scale = np.float32(spec.scale * unit)
        rows, columns = frame.shape
        self._rows = reflected(rows, manifest.tiling.stride)
        self._columns = reflected(columns, manifest.tiling.stride)

    def input(self, row: Span, column: Span) -> NDArray[np.float32]:
        """Normalised network input; what the model does not know is clipped to what it knows."""
        at = np.ix_(self._rows[row.start : row.stop], self._columns[column.start : column.stop])
        values = np.clip(self.frame.values[at], self._low, self._high)
        x: NDArray[np.float32] = (values + self._offset) / self._scale
        return x

    def keep(self, row: Span, column: Span, made: NDArray[np.float32]) -> None:
        """Write the core of what the network made of a tile."""
        core = (row.core, column.core)
        values = self.frame.values[core]
        g = made[row.core_in_tile, column.core_in_tile]
        change = g * self._scale if self._residual else (g * self._scale - self._offset) - values
        new = np.clip(values + self._strength * change, self._low, self._high)
        known = self.frame.valid[core] & (values >= self._low) & (values <= self._high)
        np.copyto(self.result[core], new, where=known)
