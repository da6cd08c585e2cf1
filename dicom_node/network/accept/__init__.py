"""Receives instances over DICOM associations."""
