"""A DICOM node: rapid scans come in, restored scans go out, and a spool on disk between the two."""
