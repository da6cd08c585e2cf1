"""Tests: unit (they mirror the source), property, integration, e2e, forms; and what they share."""

NO_PACKAGE = "no package brings it"
"""Part of the reason of a skip that CI lets pass; all others fail there."""
