"""The demonstration: a scanner, the node and a PACS on one machine, over real DICOM."""
