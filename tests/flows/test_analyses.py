"""A study comes by storescu, fits a rule, is analysed by a program elsewhere, and is judged.

Every part is a process of its own: dcmtk, the whole product, and the example program of
docs/examples, which fetches by DICOMweb and sends back findings and a segmentation.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests import databases, product
from tests.dicom import to_bytes
from tests.volumes import stacked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_DONE_S = 150
_PASSWORD = "correct horse battery staple"
SITE = """
import sys
from accounts.models import Role
from archive import access, analyses, remote_programs, webhooks
from archive.analyses import ServiceDraft
from archive.remote_programs import RemoteDraft
from archive.rules import Conditions
from tests import factories
facility = factories.facility("NORTH", "North", ae_titles=["STORESCU"])
factories.user("reader", Role.RADIOLOGIST, [facility])
admin = access.actor_of(factories.user("root", Role.ADMIN))
row = remote_programs.add(admin, RemoteDraft("Finder", sys.argv[1], version="7"))
remote_programs.switch(admin, row, is_active=True)
key = remote_programs.key_of(row)
service = analyses.add_service(admin, ServiceDraft(key, Conditions(modality="CT")))
analyses.switch_service(admin, service, is_active=True)
print(webhooks.secret_text(remote_programs.secret_of(row)))
"""


@contextmanager
def program(port: int, secret: str, log: Path) -> Iterator[None]:
    """The example program, listening."""
    import os
    import subprocess

    command = [sys.executable, "docs/examples/analysis_service.py", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=product.PROJECT,
            env={"PATH": os.environ["PATH"], "WEBHOOK_SECRET": secret},
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def signed_in(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, follow_redirects=True, timeout=30) as client:
        sign_in(client)
        yield client


def sign_in(client: httpx.Client) -> None:
    client.get("/accounts/login/")
    form = {
        "username": "reader",
        "password": _PASSWORD,
        "csrfmiddlewaretoken": client.cookies["noctis_csrf"],
    }
    assert client.post("/accounts/login/", data=form).status_code == 200


def until(client: httpx.Client, url: str, log: Path) -> dict[str, Any]:
    """Ask until an analysis of the study is over."""
    deadline = time.monotonic() + _DONE_S
    while True:
        runs = client.get(url).json()["runs"]
        if runs and runs[0]["state"] not in ("waiting", "running"):
            return dict(runs[0])
        assert time.monotonic() < deadline, (runs, log.read_text())
        time.sleep(0.2)


def test_from_the_scanner_to_the_readers_word(tmp_path: Path) -> None:
    port = product.free_port()
    data_dir = tmp_path / "var"
    # A rule is asked when a study has been quiet for a while.
    environ = product.environment(
        data_dir,
        NOCTIS_ANALYSIS_NETWORKS="127.0.0.0/8",
        **product.changed(FORWARD_WHEN_QUIET_S=5),
    )
    databases.place(data_dir)
    secret = product.run_python(environ, SITE, f"http://127.0.0.1:{port}/jobs").split()[-1]
    scans = tmp_path / "scans"
    scans.mkdir()
    voxels = np.zeros((10, 24, 24), np.int16)
    voxels[2:8, 6:16, 6:16] = 700
    for number, ds in enumerate(stacked([2.0 * k for k in range(10)], voxels)):
        (scans / f"{number}.dcm").write_bytes(to_bytes(ds))
    log = tmp_path / "program.log"
    with (
        product.started(environ, tmp_path / "terminal") as site,
        program(port, secret, log),
    ):
        site.wait_for("NoctisPro is ready")
        sent = product.run(
            ["storescu", "-aet", "STORESCU", "-aec", "NOCTIS_SCP", "127.0.0.1",
             str(site.dicom_port), "+sd", str(scans)],
            environ,
        )  # fmt: skip
        assert sent.returncode == 0, sent.stderr
        with signed_in(f"http://127.0.0.1:{site.web_port}") as client:
            [study] = client.get("/api/v1/dicom/studies").json()
            api = f"/viewer/api/studies/{study['id']}"
            run = until(client, f"{api}/findings/", log)
            assert (run["state"], run["message"]) == ("done", ""), log.read_text()
            assert (run["name"], run["version"]) == ("Finder", "7")
            bone, mask = run["findings"]
            assert (bone["label"], bone["value"], bone["unit"]) == ("Bone volume", 1.2, "ml")
            assert bone["drawing"]["points"][0] == [5.5, 5.5]
            assert (bone["decision"], mask["label"]) == ("open", "Segmentation")
            [derived] = client.get(f"{api}/derived/").json()["objects"]
            assert derived["image_id"] == mask["object"]["image_id"]
            assert derived["machine"]["name"] == "Finder"
            assert [part["name"] for part in derived["parts"]] == ["Bone (machine, example)"]
            headers = {"X-CSRFToken": client.cookies["noctis_csrf"]}
            body = {"decision": "accepted", "comment": "As I see it."}
            said = client.post(bone["url"], json=body, headers=headers)
            assert said.status_code == 200, said.text
            [after] = client.get(f"{api}/findings/").json()["runs"]
            assert after["findings"][0]["decided_by"] == "reader"
