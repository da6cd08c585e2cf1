"""Turns released weights into callables; knows no DICOM."""
