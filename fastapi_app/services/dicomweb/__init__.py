"""What the DICOMweb routes do (PS3.18)."""
