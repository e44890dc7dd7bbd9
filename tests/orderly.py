"""Orders and worklist items for tests that drive the receiver."""

from __future__ import annotations

import json
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.receiver import ReceiverSite

_MAKE = """
import json
from datetime import date, time
from archive.access import system_actor
from orders import services
from orders.services import OrderDraft, StepDraft
from worklist.models import Facility
for raw in json.loads({orders!r}):
    steps = []
    for step in raw.pop("steps", []):
        step["start_date"] = date.fromisoformat(step["start_date"])
        if step.get("start_time"):
            step["start_time"] = time.fromisoformat(step["start_time"])
        steps.append(StepDraft(**step))
    if raw.get("patient_birth_date"):
        raw["patient_birth_date"] = date.fromisoformat(raw["patient_birth_date"])
    facility = Facility.objects.get(code=raw.pop("facility", "NORTH"))
    services.create_order(system_actor("tests"), facility, OrderDraft(steps=steps, **raw))
"""


def make_orders(site: ReceiverSite, *orders: dict[str, Any]) -> None:
    """Make orders as the product does; dates as ISO text, `facility` by its code."""
    site.run_python(_MAKE.format(orders=json.dumps(orders)))


def item(**keywords: Any) -> Dataset:
    """A data set of keywords; lists of data sets become sequences."""
    made = Dataset()
    for keyword, value in keywords.items():
        is_items = isinstance(value, list) and all(isinstance(one, Dataset) for one in value)
        setattr(made, keyword, Sequence(value) if is_items else value)
    return made
