"""Pure imaging core: DICOM headers, pixels, windows, geometry; no Django, network, environment."""
