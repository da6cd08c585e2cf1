"""The sections of ``node.toml`` that are there once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
    SecretStr,
    model_validator,
)

from dicom_node.settings.section import AeTitle, Hours, Port, Seconds, Section


class NodeSettings(Section):
    """Who the node is on the DICOM network."""

    ae_title: AeTitle = Field("DENOISE", description="AE title that scanners and the PACS call.")
    port: Port = Field(11112, description="TCP port that the node listens on.")
    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 -- a server
    any_called_ae_title: bool = Field(
        False, description="Accept associations that call the node by another AE title."
    )


class StorageSettings(Section):
    """Where received instances and results are kept."""

    path: Path = Field(Path("/var/lib/dicom-node"), description="Spool folder.")
    minimum_free_percent: float = Field(
        5.0,
        ge=0,
        lt=100,
        description="Below this free space C-STORE answers 0xA700 and results wait: the rest is "
        "for the ledger and the broker.",
    )
    minimum_free_megabytes: int = Field(
        512, ge=0, description="The same watermark in megabytes; the stricter of both counts."
    )
    keep_hours: Hours = Field(
        72.0,
        ge=0,
        description="Received instances and results are kept this long after the last "
        "of their work items has ended.",
    )
    keep_conflicts_hours: Hours = Field(
        720.0,
        ge=0,
        description="Instances kept aside for a UID conflict are kept this long for a person to "
        "look at.",
    )


class DatabaseSettings(Section):
    """Where the ledger is."""

    url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; absent: SQLite in the storage folder."
    )


class BrokerSettings(Section):
    """The bell between the ledger and the workers."""

    url: SecretStr | None = Field(
        None, description="redis://... ; absent: embedded, in the storage folder."
    )


class LogSettings(Section):
    """Log lines on standard error; they hold UIDs and ledger ids, never patient data."""

    format: Literal["json", "console"] = Field("console", description="Form of a line.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level.")


class IntakeSettings(Section):
    """Reception of instances."""

    reader: Literal["inline", "stock"] = Field(
        "inline", description="Fast inline P-DATA reader, or pynetdicom's own machinery."
    )
    max_associations: int = Field(32, ge=1, description="Associations at a time, over all peers.")
    max_pdu: int = Field(131072, ge=4096, le=1048576, description="Largest PDU, bytes.")
    max_object_megabytes: int = Field(2048, ge=1, description="Largest instance to accept.")
    idle_seconds: Seconds = Field(60.0, description="An association silent this long is aborted.")
    on_conflict: Literal["quarantine", "refuse"] = Field(
        "quarantine",
        description="An instance with a known SOP Instance UID but other bytes: keep it aside for "
        "a person and answer success, or answer 0x0111 and drop it.",
    )
    unknown_peers: Literal["reject", "accept"] = Field(
        "reject", description="What to do with callers that no [[peers]] entry names."
    )


class BatchingSettings(Section):
    """How work items are gathered into batches."""

    instances: int = Field(16, ge=1, le=512, description="A batch of this many goes out at once.")
    megabytes: int = Field(48, ge=1, description="So does one of this many megabytes.")
    quiet_seconds: Seconds = Field(
        5.0,
        description="A smaller batch goes out when nothing was added to it for this long, or "
        "as soon as the sending association has ended.",
    )


class WorkerSettings(Section):
    """Denoising."""

    engine: Literal["auto", "openvino", "onnxruntime", "torch", "tensorrt"] = Field(
        "auto", description="Engine to run models on; auto picks by what the machine has."
    )
    precision: Literal["auto", "f32", "bf16", "f16", "int8", "fp8"] = Field(
        "f32",
        description="Arithmetic of the engine; f32 is the reference, bf16 is OpenVINO's; f16, int8 "
        "and fp8 are TensorRT's, the last two with far larger differences.",
    )
    threads: int = Field(
        0, ge=0, description="CPU threads of an engine; 0: all cores, shared by the processes."
    )
    processes: int = Field(1, ge=1, le=64, description="Infer workers that `up` starts.")
    tile: int = Field(0, ge=0, description="Side of an inference tile, pixels; 0: by the model.")
    lease_seconds: Seconds = Field(
        60.0, description="A batch whose worker gave no sign for this long is taken back."
    )
    attempts: int = Field(3, ge=1, description="Tries of a batch before its items fail.")

    @property
    def engine_threads(self) -> int:
        """Threads of an engine in one process: as set, else the cores shared by the processes."""
        affinity = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if affinity else os.cpu_count()
        return self.threads or max(1, (cores or 1) // self.processes)


class DeliverySettings(Section):
    """Sending results, for all destinations."""

    retry_first_seconds: Seconds = Field(5.0, description="Wait before the first retry.")
    retry_factor: float = Field(
        2.0, ge=1, le=100, description="Each further wait is longer by this."
    )
    retry_longest_seconds: Seconds = Field(600.0, description="Longest wait between retries.")
    give_up_hours: Hours = Field(
        72.0, gt=0, description="After this long a delivery becomes a dead letter."
    )
    lease_seconds: Seconds = Field(
        120.0, description="A parcel whose sender gave no sign for this long is taken back."
    )

    @model_validator(mode="after")
    def _waits_grow(self) -> DeliverySettings:
        if self.retry_longest_seconds < self.retry_first_seconds:
            raise ValueError("retry_longest_seconds must not be below retry_first_seconds")
        return self


class UpkeepSettings(Section):
    """Planning, ringing, retention."""

    poll_seconds: Seconds = Field(0.1, description="How often new instances are looked for.")
    ring_again_seconds: Seconds = Field(
        5.0, description="A worker that heard no bell for so long looks for due work by itself."
    )


class ModelSettings(Section):
    """Model versions of the node's own, besides those in the package, and whose are used."""

    path: str | None = Field(
        None,
        min_length=1,
        description="Folder of the node's own model versions, or the fsspec URL of one such as "
        "s3://bucket/models; absent: models in the storage folder.",
    )
    trust: Path | None = Field(
        None,
        description="Folder of public keys whose signatures count; the keys in the package count "
        "too.",
    )
    unsigned: Literal["refuse", "accept"] = Field(
        "refuse",
        description="What to do with a version without a signature that did not come with the "
        "package.",
    )
    shadow_instances: int = Field(
        2, ge=1, le=512, description="Most instances of a batch that a shadow version runs on."
    )

    @property
    def accepts_unsigned(self) -> bool:
        """Whether versions of the node's own store may be without a signature."""
        return self.unsigned == "accept"


class ResultSettings(Section):
    """What all results carry."""

    uid_root: str | None = Field(
        None,
        pattern=r"^[0-2](\.(0|[1-9]\d*))+$",
        max_length=24,
        description="Organisation root of result UIDs; absent: 2.25 (PS3.5 B.2).",
    )
    device_serial_number: str = Field(
        "", max_length=64, description="Device Serial Number in Contributing Equipment."
    )
    institution_name: str = Field(
        "", max_length=64, description="Institution Name in Contributing Equipment."
    )


class RoutingSettings(Section):
    """How routes are chosen."""

    matches: Literal["first", "all"] = Field(
        "first", description="The first matching route counts, or all of them."
    )
