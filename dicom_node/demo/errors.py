"""What can end the demonstration early."""

from __future__ import annotations

from dicom_node.errors import NodeError


class DemoError(NodeError):
    """The demonstration cannot go on; the message says why and where to look."""


class ImagesUnavailable(DemoError):
    """Published images cannot be had (no network, no index, wrong bytes); a phantom stands in."""


class IndexUnreachable(ImagesUnavailable):
    """No package index answers; asking it for another file is of no use."""


class NodeNotReady(DemoError):
    """The node did not start, or ended before its work was done."""


class ResultsMissing(DemoError):
    """Not every instance came back in time, or one ended without a result."""
