"""The product's settings, with what a test changes (`NOCTIS_TEST_SETTINGS`, JSON)."""

import json
import os

from noctis_pro.settings import *  # noqa: F403

globals().update(json.loads(os.environ.get("NOCTIS_TEST_SETTINGS", "{}")))
