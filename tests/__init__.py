"""Tests: unit (they mirror the source), property, integration, e2e, chaos."""

NO_PACKAGE = "no package brings it"
"""Part of the reason of a skip that CI lets pass; all others fail there."""
