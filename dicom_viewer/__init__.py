"""The viewer page, its manifest, measurements, presets and sessions."""
