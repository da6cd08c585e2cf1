"""How fast each engine runs the released models, as ratios to torch eager and to the chip's peak.

All contestants take turns, round after round, and the median of each counts, so that whatever else
the machine does meets all of them alike. The peak is the best rate that a plain convolution reaches
before or after them. Every engine's largest difference from the first one stands beside its rate.

    python -m benchmarks.engines --models drunet-ct@1.0.0 n2n-unet-xray@1.0.0 --json out.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._machine import busy_cores, report, write
from model_store.engines.base import Engine
from model_store.engines.equivalence import compare
from model_store.engines.openvino import OpenVinoPrecision, load_openvino, supports
from model_store.engines.select import build_engine
from model_store.engines.torch_reference import TorchEngine
from model_store.errors import EngineUnavailableError
from model_store.store import ModelStore, ModelVersion
from workers.frame import Frame
from workers.infer import Denoiser

SLICE = (512, 512)
RADIOGRAPH = (2614, 3072)
Build = Callable[[ModelVersion, int], Engine]
CONTESTANTS: dict[str, Build] = {
    "torch": TorchEngine,
    "torch-compile": lambda version, threads: TorchEngine(version, threads, compiled=True),
    "onnxruntime": lambda version, threads: build_engine(version, "onnxruntime", "f32", threads),
    "openvino-f32": lambda version, threads: build_engine(version, "openvino", "f32", threads),
    "openvino-bf16": lambda version, threads: build_engine(version, "openvino", "bf16", threads),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result."""

    model: str
    engine: str
    precision: str
    size: str
    seconds: float
    images_per_second: float
    times_torch: float | None
    gflops: float
    share_of_peak: float
    largest_difference: float
    units: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print a table."""
    options = _parser().parse_args(arguments)
    if options.quick:
        options.sizes, options.repeats = [(256, 256)], 1
    busy = busy_cores()
    store = ModelStore(more=options.store)
    names = options.models or [str(version.ref) for version in store.versions()]
    console = Console()
    if not names:
        console.print("no models: name some with --models, or add a folder with --store")
        return 1
    before = _peaks(options.threads)
    found = [row for name in names for row in _model(store.resolve(name), options, console)]
    after = _peaks(options.threads)
    peaks = {precision: max(before[precision], after[precision]) for precision in before}
    rows = [
        replace(row, share_of_peak=row.gflops / peaks[row.precision])
        for row in found
        if row.precision in peaks
    ]
    console.print(
        "peak of a convolution, GFLOP/s: "
        + ", ".join(f"{name} {rate:.0f}" for name, rate in peaks.items())
    )
    for model, size in dict.fromkeys((row.model, row.size) for row in rows):
        console.print(_table([row for row in rows if (row.model, row.size) == (model, size)]))
    if options.json:
        result = {"peaks_gflops": peaks, "rows": [asdict(row) for row in rows]}
        write(options.json, report("engines", vars(options), (busy, busy_cores()), result))
    return 0


def _model(
    version: ModelVersion,
    options: argparse.Namespace,
    console: Console,
) -> list[Row]:
    engines: dict[str, Engine] = {}
    for name in options.engines:
        try:
            engines[name] = CONTESTANTS[name](version, options.threads)
        except EngineUnavailableError as error:
            console.print(f"{version.ref} without {name}: {error}")
    reference = next(iter(engines.values()))
    found = {name: compare(reference, engine, version.manifest) for name, engine in engines.items()}
    rows: list[Row] = []
    usual = [SLICE] if version.manifest.input.units == "HU" else [SLICE, RADIOGRAPH]
    for size in options.sizes or usual:
        rows_, columns = size
        frame = _frame(version, size)
        work = {
            name: Denoiser(version, engine, tile=options.tile) for name, engine in engines.items()
        }
        seconds = _take_turns(work, frame, options.repeats)
        flops = 2 * version.manifest.macs_per_pixel * rows_ * columns
        for name, taken in seconds.items():
            rows.append(
                Row(
                    model=str(version.ref),
                    engine=name,
                    precision=engines[name].precision,
                    size=f"{columns}x{rows_}",
                    seconds=taken,
                    images_per_second=1 / taken,
                    times_torch=seconds["torch"] / taken if "torch" in seconds else None,
                    gflops=flops / taken / 1e9,
                    share_of_peak=0.0,
                    largest_difference=found[name].largest,
                    units=found[name].units,
                )
            )
    for engine in engines.values():
        engine.close()
    return rows


def _take_turns(work: dict[str, Denoiser], frame: Frame, repeats: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(repeats + 1):
        for name, denoiser in work.items():
            started = time.perf_counter()
            denoiser.denoise([frame])
            if number:  # the first round makes kernels and touches memory
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in times.items()}


def _frame(version: ModelVersion, size: tuple[int, int]) -> Frame:
    rng = np.random.default_rng(0)
    if version.manifest.input.units == "HU":
        values, full_scale = rng.normal(40, 30, size), 1.0
    else:
        values, full_scale = rng.normal(2000, 50, size), 4095.0
    return Frame(values.astype(np.float32), full_scale, np.ones(size, dtype=bool))


def _peaks(threads: int) -> dict[str, float]:
    """Peak of each precision that the processor has."""
    return {name: _peak(name, threads) for name in ("f32", "bf16") if supports(name)}


def _peak(precision: OpenVinoPrecision, threads: int) -> float:
    """Best rate of a stack of 3x3 convolutions over several widths, in GFLOP/s."""
    openvino = load_openvino()
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = str(threads)
    best = 0.0
    for width, side in ((64, 128), (128, 96), (256, 64), (512, 32)):
        ops = openvino.opset13
        rng = np.random.default_rng(0)
        image = ops.parameter([1, width, side, side], np.float32)
        node = image
        layers = 4
        for _ in range(layers):
            weights = rng.standard_normal((width, width, 3, 3), dtype=np.float32) / (3 * width**0.5)
            node = ops.convolution(node, ops.constant(weights), [1, 1], [1, 1], [1, 1], [1, 1])
        compiled = core.compile_model(openvino.Model([node], [image]), "CPU", settings)
        request = compiled.create_infer_request()
        data = rng.standard_normal((1, width, side, side), dtype=np.float32)
        times = []
        for _ in range(12):
            started = time.perf_counter()
            request.infer({0: data})
            times.append(time.perf_counter() - started)
        best = max(best, layers * 2 * 9 * width**2 * side**2 / min(times) / 1e9)
    return best


def _table(rows: Sequence[Row]) -> Table:
    first = rows[0]
    table = Table(title=f"{first.model}, {first.size}")
    table.add_column("engine")
    for heading in ("ms", "images/s", "x torch", "GFLOP/s", "of peak", f"off by, {first.units}"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.engine,
            f"{row.seconds * 1e3:,.0f}",
            f"{row.images_per_second:.2f}",
            f"{row.times_torch:.2f}" if row.times_torch else "",
            f"{row.gflops:,.0f}",
            f"{row.share_of_peak:.0%}",
            f"{row.largest_difference:.2g}",
        )
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="*", default=[], help="name@version or name@alias")
    parser.add_argument("--store", nargs="*", type=Path, default=[], help="further model folders")
    parser.add_argument(
        "--engines",
        nargs="*",
        choices=list(CONTESTANTS),
        default=["torch", "onnxruntime", "openvino-f32", "openvino-bf16"],
        help="contestants; differences are from the first",
    )
    parser.add_argument(
        "--sizes", nargs="*", type=_size, default=[], help="ROWSxCOLUMNS; default: by the model"
    )
    parser.add_argument("--repeats", type=int, default=5, help="counted rounds")
    parser.add_argument("--threads", type=int, default=0, help="0: each engine's own default")
    parser.add_argument("--tile", type=int, default=0, help="0: by the model")
    parser.add_argument("--quick", action="store_true", help="one round of 256 x 256")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


def _size(text: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    return int(rows), int(columns)


if __name__ == "__main__":
    sys.exit(main())
