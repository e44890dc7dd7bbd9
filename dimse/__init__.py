"""DIMSE services: what is received over the DICOM network, and what is sent."""
