"""Pure imaging core: DICOM headers, pixels, windows, geometry; no Django, network, environment."""

import sys

# pydicom loads decoders that it finds when it is imported, and what they need: GDCM takes 25 MB of
# every process. Ours are in `imaging.codecs`, which loads GDCM when it needs it.
_IS_LOADED = "pydicom" in sys.modules or "gdcm" in sys.modules
if not _IS_LOADED:
    sys.modules["gdcm"] = None  # type: ignore[assignment]
from pydicom import config  # noqa: E402

if not _IS_LOADED:
    del sys.modules["gdcm"]

# What comes from outside is taken as it is and checked by our own rules: keys of queries hold `*`
# and ranges where pydicom wants lawful values, and a stored value that breaks a rule must be
# returned, not warned about a thousand times.
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE
