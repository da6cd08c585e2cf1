"""What benchmarks found, as Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks._receivers import receivers

Found = Mapping[str, Any]


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is text, the others are figures."""
    lines = [headings, ["---", *("---:" for _ in headings[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def intake(found: Found) -> str:
    """One table for each workload: medians of the rounds, fastest first."""
    measured: list[Found] = found["measurements"]
    durable = {one.name: one.durable for one in receivers(full=True)}
    parts = []
    for workload in dict.fromkeys(one["workload"] for one in measured):
        own = [one for one in measured if one["workload"] == workload]
        rates = {
            name: statistics.median(
                one["images"] / one["seconds"] for one in own if one["receiver"] == name
            )
            for name in dict.fromkeys(one["receiver"] for one in own)
        }
        rows = []
        for name in sorted(rates, key=lambda one: -rates[one]):
            mine = [one for one in own if one["receiver"] == name]
            megabytes = statistics.median(one["megabytes"] / one["seconds"] for one in mine)
            cpu = [one["cpu_seconds"] for one in mine if one["cpu_seconds"] is not None]
            spent = f"{1000 * statistics.median(cpu) / mine[0]['images']:.2f}" if cpu else ""
            ratios = [_ratio(rates, name, peer) for peer in ("DCMTK storescp", "Orthanc, default")]
            rows.append(
                [name, durable.get(name, ""), f"{rates[name]:,.0f}", f"{megabytes:,.0f}",
                 *ratios, spent]
            )  # fmt: skip
        headings = ["receiver", "on disk before the answer", "images/s", "MB/s", "x storescp",
                    "x Orthanc", "CPU ms/image"]  # fmt: skip
        parts.append(f"**{workload}**\n\n{markdown(headings, rows)}")
    return "\n\n".join(parts)


def _ratio(rates: Mapping[str, float], name: str, peer: str) -> str:
    return f"{rates[name] / rates[peer]:.2f}" if peer in rates else ""


def main_job(found: Sequence[Found]) -> str:
    """One line for each kind of work; seconds."""
    headings = ["work", "model", "whole job", "bare engine", "ratio", "engine, in the node",
                "last byte in", "first result out", "last byte in to last result out"]  # fmt: skip
    names = ["whole_job", "bare_engine", "ratio", "engine_in_node", "all_received", "first_result",
             "last_byte_in_to_last_out"]  # fmt: skip
    rows = [
        [one["work"], f"{one['model']}, {one['precision']}"]
        + [f"{one['summary'][name]:.2f}" for name in names]
        for one in found
    ]
    cpu = [
        [one["work"], *(f"{_cpu(one, role):.1f}" for role in _ROLES)]
        for one in found
        if one["images"] > 1
    ]
    spent = markdown(["CPU ms/image", *_ROLES], cpu)
    return f"{markdown(headings, rows)}\n\n{spent}"


_ROLES = ("intake", "upkeep", "infer", "deliver", "storescp")


def _cpu(one: Found, role: str) -> float:
    spent = [each["trip"]["cpu"].get(role, float("nan")) for each in one["rounds"]]
    return 1000 * float(statistics.median(spent)) / int(one["images"])


def engines(found: Found) -> str:
    """One table for each model and size; what was not measured stays empty."""
    peaks = ", ".join(f"{name} {rate:.0f}" for name, rate in found["peaks_gflops"].items())
    parts = [f"Peak of plain 3 x 3 convolutions, GFLOP/s: {peaks}."]
    rows: list[Found] = found["rows"]
    for model, size in dict.fromkeys((row["model"], row["size"]) for row in rows):
        own = [row for row in rows if (row["model"], row["size"]) == (model, size)]
        lines = [
            [
                row["engine"],
                f"{1000 * row['seconds']:,.0f}",
                f"{row['images_per_second']:.2f}",
                f"{row['times_torch']:.2f}" if row["times_torch"] else "",
                f"{row['gflops']:,.0f}",
                f"{row['share_of_peak']:.0%}",
                f"{row['largest_difference']:.2g}",
            ]
            for row in own
        ]
        lines.append(["tensorrt (GPU)", *("" for _ in range(6))])
        headings = ["engine", "ms/image", "images/s", "x torch eager", "GFLOP/s", "of the peak",
                    f"largest difference, {own[0]['units']}"]  # fmt: skip
        parts.append(f"**{model}, {size}**\n\n{markdown(headings, lines)}")
    return "\n\n".join(parts)


def broker(found: Found) -> str:
    """One line for each broker."""
    rows = [
        [
            one["broker"],
            f"{one['latency_median_ms']:.0f}",
            f"{one['latency_worst_ms']:.0f}",
            f"{one['messages_per_second']:,.0f}",
            f"{one['idle_cpu_percent']:.1f}",
            str(one["lost"]),
            str(one["workers_died"]),
            str(found["unreadable"].get(one["broker"], "")),
        ]
        for one in found["summary"]
    ]
    headings = ["broker", "latency, median ms", "worst ms", "messages/s", "idle CPU, %", "lost",
                "workers that died", f"unreadable of {found['unreadable_of']:,}"]  # fmt: skip
    return markdown(headings, rows)


def backlog(found: Found) -> str:
    """One line for each form and backlog."""
    rows = [
        [
            one["form"],
            f"{one['backlog']:,}",
            "" if one["batches_per_second"] is None else f"{one['batches_per_second']:.0f}",
            *(f"{one[key]:,.0f}" for key in ("taken_median_ms", "taken_worst_ms",
                                             "done_median_ms", "done_worst_ms")),
            str(one["messages_at_most"]),
        ]
        for one in found["rows"]
    ]  # fmt: skip
    headings = ["ledger, broker", "batches due", "batches/s", "new study taken, median ms",
                "worst ms", "done, median ms", "worst ms", "messages at most"]  # fmt: skip
    return markdown(headings, rows)


def memory(found: Found) -> str:
    """One line for each kind of caller; megabytes."""
    rounds = len(found["rows"][0]["open"])
    headings = [f"{found['associations']} of them at once, {rounds} times", "before",
                "open, first time", "open, last time", "closed, first time", "closed, last time",
                "a minute later", "threads left"]  # fmt: skip
    rows = [
        [row["caller"],
         *(f"{row[key][end]:.0f}" if end is not None else f"{row[key]:.0f}"
           for key, end in (("before", None), ("open", 0), ("open", -1), ("closed", 0),
                            ("closed", -1), ("later", None))),
         str(row["threads"])]
        for row in found["rows"]
    ]  # fmt: skip
    return markdown(headings, rows)
