"""Headless Chromium on the whole product, started as `make run` starts it, with real pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests import databases, factories, product
from tests.browser import breasts, phantoms, scales
from tests.browser.files import head_slices
from tests.browser.viewer_page import ViewerPage
from tests.dicom import make_instance, to_bytes
from tests.videos import H264, MPEG_2, clip, video_instance

CHROMIUM = Path("/usr/bin/chromium")
# The whole product, its browser and other tests share the machine.
expect.set_options(timeout=20_000)
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A CT study whose files lack the rescale that makes HU of their values.
UNCALIBRATED = "1.2.826.0.1.3680043.10.1338.4711"
# A series of two videos, and a study with a damaged one.
VIDEOS = "1.2.826.0.1.3680043.10.1338.4712"
DAMAGED_VIDEO = "1.2.826.0.1.3680043.10.1338.4713"
_USER, _PASSWORD = "reader", factories.PASSWORD
_FILL = f"""
import sys
from django.core.management import call_command
from accounts.models import Role
from tests import factories
from worklist.models import Facility
factories.user("{_USER}", Role.RADIOLOGIST, [Facility.objects.get(code="LOCAL")])
call_command("import_dicom", *sys.argv[1:])
"""
ADMINISTRATOR = ("boss", _PASSWORD)
_LET_ADMINISTRATOR_IN = f"""
from accounts.models import User
boss = User.objects.get(username="boss")
boss.set_password("{_PASSWORD}")
boss.save()
"""
_FOLDERS = (
    "ct/head_phantom_1mm",
    "study_ct_sr/1001",
    "cr_dx_mg/gdcm-CR-MONO1-10-chest.dcm",
    "cr_dx_mg/GH133.dcm",
    "us/gdcm-US-RGB-8-esopecho.dcm",
    "us/YBR_FULL-RLE.dcm",
    "us/cine/US-PAL-8-10x-echo",
    "xa_rf",
    "pr_pdf_stl/sample-pdf.dcm",
    "waveform/waveform_ecg.dcm",
    "sr/dwv/dwv_sr-ruler.dcm",
    "sr/dwv/squares.dcm",
    "lut_overlay/mlut_18.dcm",
    "lut_overlay/ovly_p01.dcm",
    "pt_nm/GH184.dcm",
)


@dataclass(frozen=True)
class ReadingSite:
    """A running site, its studies by Study Instance UID, and how its reader's programs sign in."""

    address: str
    studies: dict[str, str]
    credentials: str

    def viewer(self, study_instance_uid: str) -> str:
        return f"{self.address}/viewer/{self.studies[study_instance_uid]}/"


@pytest.fixture(scope="session")
def reading_site(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadingSite]:
    """The product with a user who may read everything, and the pictures of `_FOLDERS`."""
    folder = tmp_path_factory.mktemp("browser")
    environ = product.environment(
        folder / "var", NOCTIS_ADMIN_USER="boss", NOCTIS_EMBED_ORIGINS="http://127.0.0.1:*"
    )
    databases.place(folder / "var")
    with product.started(environ, folder / "terminal") as here:
        here.wait_for("NoctisPro is ready")
        uncalibrated = folder / "uncalibrated.dcm"
        uncalibrated.write_bytes(to_bytes(make_instance(StudyInstanceUID=UNCALIBRATED)))
        made = folder / "phantoms"
        made.mkdir()
        pet_and_ct = phantoms.pet_and_ct(data / "ct/head_phantom_1mm")
        for instance in [
            *phantoms.studies(),
            *breasts.studies(),
            *scales.studies(),
            *pet_and_ct,
        ]:
            (made / f"{instance.SOPInstanceUID}.dcm").write_bytes(to_bytes(instance))
        paths = [
            str(uncalibrated),
            str(made),
            *_write_videos(folder),
            *(str(data / name) for name in _FOLDERS),
        ]
        product.run_python(
            environ, _FILL + breasts.LINK + _LET_ADMINISTRATOR_IN, *paths, timeout=300
        )
        credentials = _basic(_USER, _PASSWORD)
        rows = here.get_json("/api/v1/dicom/studies?limit=100", Authorization=credentials)
        studies = {row["StudyInstanceUID"]: row["id"] for row in rows}
        yield ReadingSite(f"http://127.0.0.1:{here.web_port}", studies, credentials)


def _write_videos(folder: Path) -> list[str]:
    found = []
    films = (
        (VIDEOS, clip("mpeg2video", "mpegts"), MPEG_2),
        (VIDEOS, clip("libx264", "mpegts"), H264),
        (DAMAGED_VIDEO, clip("libx264", "mp4")[:60] + bytes(5000), H264),
    )
    for number, (study, stream, syntax) in enumerate(films, start=1):
        path = folder / f"video-{number}.dcm"
        path.write_bytes(
            video_instance(
                stream, syntax, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1",
                SeriesDescription="Colonoscopy", InstanceNumber=number,
                PatientName="Film^Fiona", PatientID="FILM1",
            )
        )  # fmt: skip
        found.append(str(path))
    return found


def _basic(username: str, password: str) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    if not CHROMIUM.is_file():
        pytest.fail("Chromium is missing: apt-get install chromium")
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=_ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def signed_in(chromium: Browser, reading_site: ReadingSite, tmp_path_factory: Any) -> Path:
    """Cookies of a session, made by the real sign-in page; returns their file."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{reading_site.address}/accounts/login/")
    page.fill("input[name=username]", _USER)
    page.fill("input[name=password]", _PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/worklist/**")
    kept = tmp_path_factory.mktemp("cookies") / "state.json"
    context.storage_state(path=kept)
    context.close()
    return Path(kept)


@pytest.fixture
def new_page(chromium: Browser, signed_in: Path) -> Iterator[Callable[..., Page]]:
    """Makes pages of the signed-in reader; at the end none may have met an error of its script."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def make(width: int = 1440, height: int = 900, **options: Any) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, storage_state=signed_in, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: (
                faults.append(message.text) if "Content Security Policy" in message.text else None
            ),
        )
        return page

    yield make
    for context in contexts:
        context.close()
    assert faults == [], json.dumps(faults, indent=1)


@pytest.fixture
def phantom(
    data: Path, reading_site: ReadingSite, new_page: Callable[..., Page]
) -> tuple[ViewerPage, list[pydicom.Dataset]]:
    """The head phantom in the viewer, and its slices in reading order."""
    slices = head_slices(data)
    viewer = ViewerPage(new_page()).open(reading_site.viewer(slices[0].StudyInstanceUID))
    viewer.open_series("STD BRAIN")
    return viewer, slices


@pytest.fixture
def clean(phantom: tuple[ViewerPage, list[pydicom.Dataset]]) -> ViewerPage:
    """The phantom without what other tests have drawn on it."""
    viewer, _ = phantom
    viewer.erase()
    return viewer
