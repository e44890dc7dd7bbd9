"""The sidecar is killed while it stores the files of several requests at the same time."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests import product, stow
from tests.dicom import make_instance, to_bytes
from tests.pdu import read_part10
from tests.serving import Serving, Site, new_site

SITE = """
from accounts.models import ApiToken, Role
from tests import factories
user = factories.user("ehr", Role.TECHNOLOGIST, [factories.facility("NORTH", "North")])
print(ApiToken.issue(user, expires_at=None)[1])
"""
SETTLE = """
import django; django.setup()
from archive import reconcile
reconcile.settle_spool()
"""
COUNT = 48
WAIT_S = 60

Files = dict[str, bytes]
Send = Callable[[Site, Serving, Files], httpx.Response]


@pytest.fixture
def site() -> Iterator[Site]:
    """On the machine's disk: what is not yet on it when a process dies matters here."""
    with tempfile.TemporaryDirectory(prefix="noctis-disk-") as folder:
        yield new_site(Path(folder) / "var", SITE)


def files_of_a_study() -> Files:
    """Make the files of one study, by their SOP Instance UIDs."""
    study = make_instance().StudyInstanceUID
    made = [make_instance(StudyInstanceUID=study, InstanceNumber=n + 1) for n in range(COUNT)]
    return {ds.SOPInstanceUID: to_bytes(ds) for ds in made}


def send_zip(site: Site, serving: Serving, files: Files) -> httpx.Response:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return post(site, serving, "/api/v1/dicom/upload-multiple", files={"files": packed.getvalue()})


def send_stow(site: Site, serving: Serving, files: Files) -> httpx.Response:
    body = stow.parts(*((stow.DICOM, content) for content in files.values()))
    headers = {"Content-Type": stow.related(), "Accept": stow.JSON}
    return post(site, serving, "/dicom-web/studies", content=body, headers=headers)


def post(site: Site, serving: Serving, path: str, **options: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {site.said[0]}", **options.pop("headers", {})}  # type: ignore[dict-item]
    return httpx.post(f"{serving.url}{path}", headers=headers, timeout=WAIT_S, **options)  # type: ignore[arg-type]


def stored(site: Site) -> dict[str, str]:
    """Every row, its file re-read: whole, and what the row says that it is; no file besides."""
    with closing(sqlite3.connect(site.data_dir / "noctis.sqlite3")) as database:
        rows = database.execute(
            "SELECT sop_instance_uid, storage_key, sha256 FROM worklist_dicomimage"
        ).fetchall()
    root = site.data_dir / "media" / "dicom"
    found = {}
    for uid, key, digest in rows:
        raw = (root / key).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == digest
        found[uid] = hashlib.sha256(read_part10(raw).data).hexdigest()
    assert len(rows) == len(list(root.glob("[0-9a-f][0-9a-f]/*/*.dcm")))
    return found


def count(site: Site) -> int:
    with closing(sqlite3.connect(site.data_dir / "noctis.sqlite3")) as database:
        return int(database.execute("SELECT count(*) FROM worklist_dicomimage").fetchone()[0])


def test_killed_in_the_middle_each_file_is_absent_or_whole(site: Site) -> None:
    answered, first, second = (files_of_a_study() for _ in range(3))
    everything = answered | first | second
    sent = {
        uid: hashlib.sha256(read_part10(raw).data).hexdigest() for uid, raw in everything.items()
    }
    with site.serving(is_killed=True) as serving, ThreadPoolExecutor(2) as pool:
        assert send_zip(site, serving, answered).json()["successful"] == COUNT
        sending = [
            pool.submit(send, site, serving, files)
            for send, files in ((send_zip, first), (send_stow, second))
        ]
        deadline = time.monotonic() + WAIT_S
        while count(site) < COUNT + 10:
            assert time.monotonic() < deadline
        serving.process.kill()
        for future in sending:
            assert isinstance(future.exception(), httpx.HTTPError)
    done = product.run(
        [sys.executable, "-c", SETTLE],
        {"DJANGO_SETTINGS_MODULE": "noctis_pro.settings", **site.environ},
    )
    assert done.returncode == 0, done.stderr
    found = stored(site)
    assert found == {uid: sent[uid] for uid in found}
    assert set(answered) <= set(found)
    assert len(found) < len(sent)

    with site.serving() as serving:
        for files in (first, second):
            answer = send_zip(site, serving, files).json()
            assert answer["successful"] == COUNT
            assert answer["duplicates"] == len(set(files) & set(found))
    assert stored(site) == sent
    spool = site.data_dir / "media" / "dicom" / "spool"
    assert list(spool.iterdir()) == []
