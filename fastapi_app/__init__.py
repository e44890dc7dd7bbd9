"""The sidecar: pictures and the EHR interface over HTTP, alone or mounted in the web process."""
