"""Peers and destinations: with whom the node talks."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import (
    Field,
    field_validator,
)

from dicom_node.settings.section import AeTitle, Name, Port, Seconds, Section


class PeerSettings(Section):
    """A remote application entity that may talk to the node."""

    ae_title: AeTitle
    host: str | None = Field(
        None, description="Address or network (CIDR) it must call from; absent: any."
    )
    may: tuple[Literal["echo", "store"], ...] = Field(
        ("echo", "store"), description="What it may do; C-ECHO is always allowed."
    )

    @field_validator("host")
    @classmethod
    def _host(cls, host: str | None) -> str | None:
        if host is not None and "/" in host:
            try:
                ipaddress.ip_network(host, strict=False)
            except ValueError as error:
                raise ValueError(f"{host!r} is not a network such as 10.1.2.0/24") from error
        return host


class DestinationSettings(Section):
    """A remote application entity that receives results."""

    name: Name
    ae_title: AeTitle = Field(description="AE title of the destination.")
    host: str
    port: Port = 104
    calling_ae_title: AeTitle | None = Field(
        None, description="AE title that the node uses towards it; absent: [node] ae_title."
    )
    associations: int = Field(1, ge=1, le=16, description="Associations at a time.")
    timeout_seconds: Seconds = Field(30.0, description="Longest wait for one answer.")
    max_pdu: int = Field(131072, ge=0, description="Largest PDU to offer, bytes.")
