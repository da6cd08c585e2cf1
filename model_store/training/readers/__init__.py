"""Readers of image files, chosen by their first bytes: DICOM, PNG, TIFF, HDF5, NIfTI."""
