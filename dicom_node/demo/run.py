"""The demonstration from beginning to end, read top to bottom."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dicom_node.demo import report
from dicom_node.demo.errors import DemoError
from dicom_node.demo.images import DemoImages, obtain
from dicom_node.demo.network import LOOPBACK, Endpoint, free_port
from dicom_node.demo.node import GIVEN_PACS, NodeFiles, NodeProcess, write_config
from dicom_node.demo.pacs import Pacs
from dicom_node.demo.progress import Downloads
from dicom_node.demo.summary import SeriesSummary, summarise
from dicom_node.demo.transfer import RoundTrip, transfer
from dicom_node.network.request.echo import echo
from dicom_node.settings import DestinationSettings

_NODE_AE, _PACS_AE = "DENOISE", "PACS"
_ECHO_S = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for.

    Parameters
    ----------
    report : Path
        Folder for report and log; made if absent.
    pacs : Endpoint or None
        A PACS that gets the results too.
    offline : bool
        Leave the network alone.
    keep : bool
        Keep received objects, results, ledger and configuration in the report folder.
    timeout_s : float
        Longest wait for results, from the first byte sent.
    picture : Path or None
        Where to write a picture of before, after and difference.
    """

    report: Path
    pacs: Endpoint | None = None
    offline: bool = False
    keep: bool = False
    timeout_s: float = 300.0
    picture: Path | None = None

    @property
    def log(self) -> Path:
        """Log of the node."""
        return self.report / "node.log"

    @property
    def work(self) -> Path:
        """Everything that is not kept."""
        return self.report / "work"


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """What came of it."""

    summaries: tuple[SeriesSummary, ...]
    seconds: float
    html: Path


def run(options: Options, console: Console) -> DemoOutcome:
    """Send, denoise, deliver, compare.

    Raises
    ------
    DemoError
        If any part fails; the message says which.
    """
    _prepare(options)
    images = _images(options, console)
    if options.pacs:
        _require_answer(options.pacs)
    with Pacs(options.work / "pacs", ae_title=_PACS_AE) as pacs:
        done = _main_job(options, images, pacs, console)
    _step(console, "Comparing", "noise and pictures, before and after")
    summaries = tuple(
        summarise(series, {uid: a.path for uid, a in done.result_of.items()}, seconds)
        for series, seconds in zip(images.series, done.seconds, strict=True)
    )
    outcome = DemoOutcome(summaries, done.all_seconds, options.report / "index.html")
    report.write_html(_story(options, images, outcome), outcome.html)
    if options.picture:
        report.write_picture(summaries, options.picture)
    if not options.keep:
        shutil.rmtree(options.work, ignore_errors=True)
    return outcome


def table(outcome: DemoOutcome) -> Table:
    """Make the table that ends the demonstration, one row a series."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    made.add_column("Series", no_wrap=True, min_width=6)
    for name in ("Images", "Noise before", "after", "Time"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("Model and engine", no_wrap=True, overflow="fold")
    for s in outcome.summaries:
        noise = ("-", "-")
        if s.noise.windows:
            change = -100 * s.noise.reduction
            noise = (f"{s.noise.before:.1f} {s.unit}", f"{s.noise.after:.1f} ({change:+.0f} %)")
        cells = (s.modality, str(s.instances), *noise, f"{s.seconds:.1f} s")
        made.add_row(*map(escape, (*cells, f"{s.origin.model}\n{s.origin.engine}")))
    return made


def _prepare(options: Options) -> None:
    try:
        options.report.mkdir(parents=True, exist_ok=True)
        if options.work.exists():
            shutil.rmtree(options.work)
        for part in ("images", "pacs", "node"):
            (options.work / part).mkdir(parents=True)
    except OSError as error:
        raise DemoError(f"{options.report}: {error.strerror or error}") from error


def _images(options: Options, console: Console) -> DemoImages:
    with Downloads(console) as downloads:
        images = obtain(options.work / "images", offline=options.offline, progress=downloads.begin)
    for line in images.replaced:
        _step(console, "[yellow]Synthetic[/]", f"no published image, a phantom stands in: {line}")
    for series in images.series:
        _step(console, "Images", f"{series.source.title}; {series.source.licence}")
    return images


def _require_answer(pacs: Endpoint) -> None:
    destination = DestinationSettings(
        name=GIVEN_PACS,
        ae_title=pacs.ae_title,
        host=pacs.host,
        port=pacs.port,
        timeout_seconds=_ECHO_S,
    )
    outcome = echo(destination, _NODE_AE)
    if not outcome.ok:
        raise DemoError(f"--pacs: {outcome.message}")


def _main_job(options: Options, images: DemoImages, pacs: Pacs, console: Console) -> RoundTrip:
    files = NodeFiles(options.work / "node", options.log)
    node = Endpoint(LOOPBACK, free_port(), _NODE_AE)
    own = Endpoint(LOOPBACK, pacs.port, _PACS_AE)
    write_config(files, node, own, options.pacs)
    with NodeProcess(files, node) as process:
        process.wait_until_ready()
        _step(console, "Node", f"{node}, its log in {options.log}")
        for address in (own, options.pacs):
            if address:
                _step(console, "PACS", str(address))
        return transfer(
            images.series,
            node=node,
            process=process,
            pacs=pacs,
            ledger_file=files.ledger,
            console=console,
            given=options.pacs is not None,
            timeout_s=options.timeout_s,
        )


def _story(options: Options, images: DemoImages, outcome: DemoOutcome) -> report.Run:
    destinations = "PACS (of the demonstration)"
    if options.pacs:
        destinations += f" and {options.pacs}"
    return report.Run(
        at=datetime.now().astimezone(),
        summaries=outcome.summaries,
        seconds=outcome.seconds,
        scanner="Scanner (of the demonstration)",
        node="The node",
        destinations=destinations,
        replaced=images.replaced,
    )


def _step(console: Console, what: str, text: str) -> None:
    console.print(f"[bold]{what}[/]  {escape(text)}", highlight=False, soft_wrap=True)
