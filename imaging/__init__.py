"""Pure imaging core: DICOM headers, pixels, windows, geometry; no Django, network, environment."""

from pydicom import config

# What comes from outside is taken as it is and checked by our own rules: keys of queries hold `*`
# and ranges where pydicom wants lawful values, and a stored value that breaks a rule must be
# returned, not warned about a thousand times.
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE
