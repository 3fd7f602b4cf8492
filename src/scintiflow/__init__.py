"""scintiflow: restoration of rapid paediatric bone scans, from DICOM to a registered model."""

__version__ = "0.1.0"
