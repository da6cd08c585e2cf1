"""Commands that the workers add to ``dicom-node``; see `dicom_node.cli.extensions`."""
