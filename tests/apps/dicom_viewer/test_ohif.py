"""OHIF's page: who gets it, what it loads, and what it says where OHIF is not installed.

That OHIF itself works on our DICOMweb is shown in tests/browser/test_ohif.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client

from dicom_viewer import ohif
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study


@pytest.fixture
def checkout(tmp_path: Path, settings: object) -> Iterator[Path]:
    """A checkout in which OHIF is not installed."""
    settings.BASE_DIR = tmp_path  # type: ignore[attr-defined]
    ohif.installed.cache_clear()
    yield tmp_path
    ohif.installed.cache_clear()


@pytest.fixture
def with_ohif(checkout: Path) -> None:
    facts = {"version": "3.13.2", "script": "app.bundle.0123.js", "style": "app.bundle.css"}
    (checkout / "static" / "ohif").mkdir(parents=True)
    (checkout / "static" / "ohif" / "installed.json").write_text(json.dumps(facts))


@pytest.mark.usefixtures("with_ohif")
def test_every_address_of_ohif_is_its_page_with_strict_scripts(site: Client) -> None:
    for address in ("/ohif/", "/ohif/viewer?StudyInstanceUIDs=1.2.3"):
        answer = site.get(address)
        assert answer.status_code == 200
        assert 'src="/static/ohif/app.bundle.0123.js"' in answer.content.decode()
        policy = dict(
            part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";")
        )
        assert "unsafe-inline" not in policy["script-src"]
        assert "'unsafe-eval'" not in policy["script-src"]
        assert policy["connect-src"] == "'self'"


@pytest.mark.usefixtures("with_ohif", "db")
def test_a_stranger_signs_in_first() -> None:
    answer = Client().get("/ohif/viewer?StudyInstanceUIDs=1.2.3")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/?next=/ohif/viewer")


@pytest.mark.usefixtures("checkout")
def test_without_ohif_the_page_says_what_to_do(site: Client) -> None:
    answer = site.get("/ohif/")
    assert answer.status_code == 404
    assert "make ohif" in answer.content.decode()


@pytest.mark.usefixtures("store")
def test_a_study_opens_in_ohif_where_it_is_installed(
    site: Client, facility: Facility, checkout: Path
) -> None:
    factories.store_bytes(to_bytes(make_instance()), facility)
    study = Study.objects.get()
    page = f"/worklist/studies/{study.pk}/"
    assert "Open in OHIF" not in site.get(page).content.decode()
    ohif.installed.cache_clear()
    (checkout / "static" / "ohif").mkdir(parents=True)
    (checkout / "static" / "ohif" / "installed.json").write_text(
        json.dumps({"version": "3", "script": "a.js", "style": "a.css"})
    )
    text = site.get(page).content.decode()
    assert f'href="/ohif/viewer?StudyInstanceUIDs={study.study_instance_uid}"' in text
