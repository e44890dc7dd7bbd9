"""The first start with the demo, as a newcomer has it: everything it brings can be opened."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import databases, product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def _api(site: product.Site, login: str, path: str) -> Any:
    credentials = base64.b64encode(login.encode()).decode()
    return site.get_json(f"/api/v1/dicom{path}", Authorization=f"Basic {credentials}")


def _png(site: product.Site, login: str, path: str) -> np.ndarray:
    credentials = base64.b64encode(login.encode()).decode()
    status, body = site.get(f"/api/v1/dicom{path}", Authorization=f"Basic {credentials}")
    assert status == 200, body[:300]
    return np.asarray(Image.open(io.BytesIO(body)))


def test_demo_comes_with_the_first_start_and_once(tmp_path: Path) -> None:
    environ = product.environment(tmp_path / "var")
    # Nobody says anything about the demo: it comes by default.
    del environ["NOCTIS_DEMO"]
    databases.place(tmp_path / "var")
    with product.started(environ, tmp_path / "first") as site:
        text = site.wait_for("NoctisPro is ready", 240)
        users = dict(re.findall(r"(radiologist|technologist) / (\S+)", text))
        assert set(users) == {"radiologist", "technologist"}
        login = f"radiologist:{users['radiologist']}"

        studies = _api(site, login, "/studies?limit=100")
        by_name = {(s["PatientName"], tuple(s["ModalitiesInStudy"])): s for s in studies}
        assert {key for key in by_name if key[0].startswith("DEMO^")} == {
            ("DEMO^ANNA", ("CT",)),
            ("DEMO^ANNA", ("MR",)),
            ("DEMO^BRUNO", ("CR",)),
            ("DEMO^CLARA", ("US",)),
        }
        assert len(studies) > 8
        ct = by_name[("DEMO^ANNA", ("CT",))]
        assert ct["NumberOfStudyRelatedInstances"] == 160

        for (name, _), study in by_name.items():
            if not name.startswith("DEMO^"):
                continue
            series = _api(site, login, f"/studies/{study['StudyInstanceUID']}/series")
            images = _api(site, login, f"/series/{series[0]['id']}/images")
            middle = images[len(images) // 2]
            picture = _png(site, login, f"/image/{middle['id']}/frames/1.png")
            assert picture.std() > 20, name
            assert max(_png(site, login, f"/image/{middle['id']}/thumbnail").shape[:2]) <= 256
        site.stop()

    with product.started(environ, tmp_path / "second") as site:
        text = site.wait_for("NoctisPro is ready")
        assert "Demo:" not in text
        assert users["radiologist"] not in text
        assert f"see {tmp_path / 'var' / 'demo-passwords'}" in text
        assert len(_api(site, login, "/studies?limit=100")) == len(studies)
