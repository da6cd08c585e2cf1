"""Whether the TensorRT engine is right on this machine's GPU, and how fast, in under ten minutes.

    make gpu-check
    python -m benchmarks.gpu --models drl-ct@1.0.0 --json out.json

Nothing is installed. First the engines' tests run, then every precision is compared with torch in
float32 on the golden images, then rates are measured from host memory to host memory, copies
included, for torch eager, torch.compile and TensorRT alike. Without TensorRT, torch alone is
measured and the missing is named. The roofline is what the GPU could do at best: convolutions at
the rate of a large matrix product in the same precision, copies at the rate of a large one.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks._machine import REPOSITORY, busy_cores, report, write

SIDE: Final = 512
BATCHES: Final = (1, 4, 16)
PRECISIONS: Final = ("f32", "f16")
EIGHT_BITS: Final = ("int8", "fp8")
"""Precisions that only TensorRT is measured in."""
NEEDED: Final = ("torch", "pydantic", "safetensors")
TESTS: Final = "tests/unit/model_store/engines/tensorrt"
_TEST_SECONDS: Final = 150
_LEAST_CALLS: Final = 3

Images = NDArray[np.float32]
Run = Callable[[Images], Images]
Make = Callable[[], tuple[Run, Callable[[], None]]]
"""Makes an engine: what runs it, and what frees it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One measured cell."""

    model: str
    engine: str
    precision: str
    batch: int
    images_per_second: float
    largest_difference: float
    units: str


@dataclass(frozen=True, slots=True)
class Peak:
    """What the GPU does at best: FLOP/s by precision, bytes/s to it and back."""

    flops: dict[str, float]
    copy: float

    def images_per_second(self, precision: str, macs_per_pixel: int, pixels: int) -> float:
        """The roofline: no engine can pass more images than arithmetic and copies allow.

        Copies of 4 bytes a pixel each way may go on beside each other and beside the arithmetic.
        Eight bits are held against f16, which their first and last layers run in.
        """
        rate = self.flops["f16" if precision in EIGHT_BITS else precision]
        arithmetic = 2 * macs_per_pixel * pixels / rate
        return 1 / max(arithmetic, 4 * pixels / self.copy)


@dataclass(slots=True)
class Clock:
    """Time that is left for all measurements."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Seconds until the end."""
        return self.seconds - (time.monotonic() - self.started)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check and measure; 0 if all was well, 1 if something was wrong, 2 without a GPU."""
    options = _parser().parse_args(arguments)
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(f"not measured: {', '.join(missing)} cannot be imported (nothing is installed here)")
        return 0 if options.quick else 2
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        print(f"not measured: torch {torch.__version__} sees no GPU on this machine")
        return 0 if options.quick else 2
    clock, busy = Clock(60 if options.quick else options.seconds), busy_cores()
    found = without_tensorrt() or "TensorRT"
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {found}")
    passed = options.quick or tests_pass()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    peak = measure_peak(torch, "cuda")
    store = importlib.import_module("model_store.store").ModelStore(more=options.store)
    versions = [store.resolve(name) for name in options.models] or list(store.versions())
    rates: list[Rate] = []
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        for place, version in enumerate(versions):
            own = Clock(clock.left() / (len(versions) - place))
            chosen = contestants(version, torch, "cuda", Path(folder))
            rates += measure(version, chosen, own, options.batches)
    macs = {str(version.ref): version.manifest.macs_per_pixel for version in versions}
    print(table(rates, peak, macs))
    for line in (wrong := faults(rates)):
        print(line)
    if options.json:
        result = {"peak": asdict(peak), "rates": [asdict(rate) for rate in rates], "tests": passed}
        write(options.json, report("gpu", vars(options), (busy, busy_cores()), result))
    return 0 if passed and not wrong else 1


def faults(rates: Sequence[Rate]) -> list[str]:
    """What is wrong with TensorRT: it failed, or a pixel in f32 is off by more than 1."""
    return [
        f"wrong: {rate.model}, {rate.engine} {rate.precision}: "
        + (f"off by {rate.largest_difference:.3g} {rate.units}" if rate.batch else "it failed")
        for rate in rates
        if rate.engine == "TensorRT"
        and (not rate.batch or (rate.precision == "f32" and not rate.largest_difference <= 1))
    ]


def without_tensorrt() -> str:
    """Why TensorRT cannot be measured here; empty if it can."""
    library = importlib.import_module("model_store.engines.tensorrt.library")
    try:
        library.load_library()
    except importlib.import_module("model_store.errors").EngineUnavailableError as error:
        return f"torch alone: {error}"
    return ""


def tests_pass() -> bool:
    """Run the TensorRT engine's tests; says so where pytest is missing."""
    if find_spec("pytest") is None:
        print("tests not run: pytest cannot be imported")
        return True
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, check=False, timeout=_TEST_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"tests ended after {_TEST_SECONDS} s")
        return False
    return done.returncode == 0


def torch_run(version: Any, torch: Any, device: str, precision: str, *, compiled: bool) -> Run:
    """The version's generator on the device; host memory in, host memory out."""
    section = importlib.import_module("model_store.generators.sections").read_generator(
        version.read("recipe.toml").decode()
    )
    weights = importlib.import_module("model_store.weights").trained_weights(version)
    generator = importlib.import_module("model_store.generators.build").build(section).eval()
    tensors = importlib.import_module("model_store.generators.base").tensors
    generator.load_state_dict(tensors(weights))
    kind = torch.float16 if precision == "f16" else torch.float32
    generator = generator.to(device=device, dtype=kind)
    network = generator.residual if version.manifest.output == "residual" else generator
    if compiled:
        network = torch.compile(network)

    def run(images: Images) -> Images:
        with torch.inference_mode():
            given = torch.from_numpy(images)
            if device == "cuda":
                given = given.pin_memory()
            made = network(given.to(device, non_blocking=True).to(kind))
            result: Images = made.float().cpu().numpy()
        return result

    return run


def contestants(version: Any, torch: Any, device: str, folder: Path) -> dict[tuple[str, str], Make]:
    """How each engine and precision is made; the first is what the others are compared with."""
    tensorrt = importlib.import_module("model_store.engines.tensorrt.engine")

    def torches(precision: str, compiled: bool) -> Make:
        return lambda: (
            torch_run(version, torch, device, precision, compiled=compiled),
            lambda: None,
        )

    def plans(precision: str) -> Make:
        def make() -> tuple[Run, Callable[[], None]]:
            engine = tensorrt.TensorrtEngine(version, precision, plans=folder / "plans")
            return engine.infer, engine.close

        return make

    made: dict[tuple[str, str], Make] = {}
    for name, compiled in (("torch eager", False), ("torch.compile", True)):
        for precision in PRECISIONS:
            made[name, precision] = torches(precision, compiled)
    if not without_tensorrt():
        for precision in (*PRECISIONS, *EIGHT_BITS):
            made["TensorRT", precision] = plans(precision)
    return made


def measure(
    version: Any, chosen: dict[tuple[str, str], Make], clock: Clock, batches: Sequence[int]
) -> list[Rate]:
    """Every engine's rate and its largest difference from the first, while there is time."""
    errors = importlib.import_module("model_store.errors")
    golden = importlib.import_module("model_store.engines.golden").golden_images(version.manifest)
    in_hu = version.manifest.input.units == "HU"
    unit, units = (version.manifest.input.scale, "HU") if in_hu else (4095.0, "grey levels")
    side = -(-SIDE // version.manifest.tiling.stride) * version.manifest.tiling.stride
    random = np.random.default_rng(0).random((max(batches), 1, side, side), dtype=np.float32)
    reference: Images | None = None
    rates: list[Rate] = []
    for place, ((name, precision), make) in enumerate(chosen.items()):
        what = f"{version.ref}: {name} {precision}"
        if clock.left() <= 0:
            print(f"{what}: no time left")
            continue
        seconds = min(clock.left() / (len(chosen) - place) / (2 * len(batches)), 5.0)
        own: list[Rate] = []
        try:
            run, close = make()
            made = run(golden)
            reference = made if reference is None else reference
            off = float(np.abs(made.astype(np.float64) - reference).max()) * unit
            for batch in batches:
                rate = rate_of(run, random[:batch], seconds)
                own.append(Rate(str(version.ref), name, precision, batch, rate, off, units))
            close()
        except errors.EngineUnavailableError as error:
            print(f"{what} not measured: {error}")
        except (errors.ModelStoreError, RuntimeError, MemoryError) as error:
            print(f"{what} failed: {error}")
            own.append(Rate(str(version.ref), name, precision, 0, 0.0, float("nan"), units))
        rates += own
        if reference is None:
            break
    return rates


def rate_of(run: Run, images: Images, seconds: float) -> float:
    """Images a second: the median call, after three that warm up."""
    for _ in range(_LEAST_CALLS):
        run(images)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < _LEAST_CALLS or time.perf_counter() < end:
        started = time.perf_counter()
        run(images)
        taken.append(time.perf_counter() - started)
    return len(images) / float(np.median(taken))


def measure_peak(torch: Any, device: str, side: int = 8192) -> Peak:
    """Best rates of a square matrix product in each precision and of a copy from pinned memory."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def best(work: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            wait()
            started = time.perf_counter()
            work()
            wait()
            times.append(time.perf_counter() - started)
        return min(times[1:])

    flops = {}
    for name, kind in (("f32", torch.float32), ("f16", torch.float16)):
        matrix = torch.randn(side, side, device=device).to(kind)
        flops[name] = 2 * side**3 / best(partial(torch.matmul, matrix, matrix))
    host = torch.empty(side * side, pin_memory=device == "cuda")
    target = torch.empty(side * side, device=device)
    copy = 4 * side * side / best(lambda: target.copy_(host, non_blocking=True))
    return Peak(flops, copy)


def table(rates: Sequence[Rate], peak: Peak, macs_per_pixel: dict[str, int]) -> str:
    """One Markdown table; a failed engine has empty cells."""
    found = {(rate.model, rate.engine, rate.precision, rate.batch): rate for rate in rates}
    lines = [
        "| generator | engine | precision | batch | images/s | x torch eager | x torch.compile "
        "| of the roofline | largest difference |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for rate in rates:
        if not rate.batch:
            lines.append(f"| {rate.model} | {rate.engine} | {rate.precision} | | | | | | |")
            continue
        roof = peak.images_per_second(rate.precision, macs_per_pixel[rate.model], SIDE * SIDE)
        ratios = []
        for other in ("torch eager", "torch.compile"):
            beside = found.get((rate.model, other, rate.precision, rate.batch))
            ratios.append(
                f"{rate.images_per_second / beside.images_per_second:.2f}" if beside else ""
            )
        lines.append(
            f"| {rate.model} | {rate.engine} | {rate.precision} | {rate.batch} "
            f"| {rate.images_per_second:,.0f} | {ratios[0]} | {ratios[1]} "
            f"| {rate.images_per_second / roof:.0%} "
            f"| {rate.largest_difference:.2g} {rate.units} |"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="*", default=[], help="name@version; default: all")
    parser.add_argument("--store", nargs="*", type=Path, default=[], help="further model folders")
    parser.add_argument("--batches", nargs="*", type=int, default=list(BATCHES))
    parser.add_argument("--seconds", type=float, default=330.0, help="for measurements, in all")
    parser.add_argument("--quick", action="store_true", help="a minute, without the tests")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
