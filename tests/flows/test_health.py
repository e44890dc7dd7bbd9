"""`verify_system_health.py` against a whole running site, and against one that does not run."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests import databases, product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_VERIFY = [sys.executable, "verify_system_health.py"]
_LEFT = """
from accounts.models import ApiToken, User
from archive.models import InstanceConflict, Knock
from worklist.models import DicomImage, Facility, Patient, Series, Study
counted = (DicomImage, Series, Study, Patient, ApiToken, InstanceConflict, Knock)
names = [*Facility.objects.values_list("code", flat=True)]
names += User.objects.values_list("username", flat=True)
print("left", [m.objects.count() for m in counted], sorted(names))
"""


def test_a_running_site_is_healthy_and_the_test_leaves_nothing(tmp_path: Path) -> None:
    environ = product.environment(tmp_path / "var")
    databases.place(tmp_path / "var")
    with product.started(environ, tmp_path / "terminal") as site:
        site.wait_for("NoctisPro is ready")
        done = product.run(_VERIFY, environ)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "All 15 checks hold: the site is healthy." in done.stdout
        for part in ("echo", "store", "picture", "background work"):
            assert f"ok      live traffic: {part}" in done.stdout
        left = site.manage("shell", "--no-imports", "-c", _LEFT).stdout
        assert "left [0, 0, 0, 0, 0, 0, 0] ['LOCAL', 'admin']" in left
        assert list((tmp_path / "var" / "media" / "dicom").rglob("*.dcm")) == []
        document = json.loads(product.run([*_VERIFY, "--json"], environ).stdout)
        assert document["healthy"] is True
        assert len(document["checks"]) == 15

        # A worker that hangs: the check says that jobs are not done, and nothing else is wrong.
        os.kill(site.children()["worker"], signal.SIGSTOP)
        impatient = {**environ, **product.changed(HEALTH_WORK_TIMEOUT_S=3)}
        stuck = json.loads(product.run([*_VERIFY, "--json"], impatient).stdout)
        os.kill(site.children()["worker"], signal.SIGCONT)
        wrong = {c["name"]: c["message"] for c in stuck["checks"] if not c["ok"]}
        assert set(wrong) >= {"live traffic: background work"}
        assert set(wrong) <= {"live traffic: background work", "process: worker"}
        assert "are not done" in wrong["live traffic: background work"]

    done = product.run(_VERIFY, environ)
    assert done.returncode == 1
    assert "FAILED  process: receiver" in done.stdout
    assert "FAILED  process: worker" in done.stdout
    assert "Nothing answered as a DICOM node" in done.stdout
    assert "make run" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
