"""Receiver, web and worker killed again and again under load: nothing answered is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.siege import VICTIMS, Siege, Site

KILLS = 21


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whatever_is_killed_nothing_answered_is_lost_or_changed(
    new_folder: Callable[[], Path],
) -> None:
    site = Site(new_folder())
    siege = Siege(site, site.prepare())
    try:
        siege.run(lambda: sum(siege.kills.values()) < KILLS)
    finally:
        site.stop()
    # A start brings back into order what the last kill left.
    for name in VICTIMS:
        site.start(name)
    try:
        siege.wait_until_ready()
    finally:
        site.stop()
    assert all(siege.kills.values()), siege.kills
    assert len(siege.ledger.answered) > 5 * KILLS
    # A lock that lasts, a full disk: nothing of that kind was there.
    assert siege.troubles == []
    siege.verify()
