"""What the DICOM standard says; knows no ledger, no settings, no model."""
