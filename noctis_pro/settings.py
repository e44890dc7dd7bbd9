"""Entry of the settings: base, then security. One file for every site; the environment differs."""

from noctis_pro.settings_base import *  # noqa: F403
from noctis_pro.settings_security import *  # noqa: F403
