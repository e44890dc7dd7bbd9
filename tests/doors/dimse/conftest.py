"""Fixtures of the tests that drive the receiver."""

from tests.dcmtk import storescp
from tests.receiver import make_site, receiver, receiver_template

__all__ = ["make_site", "receiver", "receiver_template", "storescp"]
