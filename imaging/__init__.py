"""Pure imaging core: DICOM headers, pixels, windows, geometry; no Django, no network, no environment."""
