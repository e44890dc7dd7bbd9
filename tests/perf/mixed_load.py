"""Readers, programs and scanners at once, for as long as is wanted: `make load MINUTES=30`.

The whole product runs as `make run` starts it. Viewers open studies and scroll, programs search by
QIDO-RS and ask for rendered frames and whole instances, others store by STOW-RS. Every minute it
prints what each kind of request took and what each process holds, at the end the same of all and
how fast each process grew in the second half. Any answer but the expected one, or a process that
grows by more than `MOST_MB_A_MINUTE`, ends it with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression
from typing import Any

import httpx
from pydicom.uid import generate_uid

from tests import product
from tests.dicom import make_instance, to_bytes
from tests.product import Site, descendants

_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
_FOLDERS = ("ct", "mr", "us", "cr_dx_mg", "xa_rf", "pt_nm")
_BATCH = 16
_BOUNDARY = "noctis-load"
_LOOK_EVERY_S = 10.0
# Of a process with what it started. A leak of a kilobyte a request would be ten times as much.
MOST_MB_A_MINUTE = 1.0
# Shorter runs say nothing about growth: caches fill.
_LEAST_MINUTES = 10.0


@dataclass
class Results:
    """What was answered, since the last report and in all."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    all_times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    # Minute, and what each process held then.
    held: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    def report(self, minute: float) -> None:
        """Write a line for each kind and one for the processes, and begin anew."""
        for kind, taken in sorted(self.times.items()):
            self.all_times[kind] += taken
            _say(minute=round(minute, 1), kind=kind, **_figures(taken))
        self.times.clear()
        _say(minute=round(minute, 1), memory_mb=self.held[-1][1], faults=len(self.faults))

    def growth(self) -> dict[str, float]:
        """Return how fast each process grew in the second half, in MB a minute."""
        half = self.held[len(self.held) // 2 :]
        found = {}
        for name in half[-1][1] if len(half) > 1 else ():
            points = [(minute, held[name]) for minute, held in half if name in held]
            minutes, megabytes = zip(*points, strict=True)
            found[name] = round(linear_regression(minutes, megabytes).slope, 3)
        return found

    def summary(self, minutes: float) -> bool:
        """Write what the whole run was; returns whether it was good."""
        for kind, taken in sorted(self.all_times.items()):
            _say(whole_run=True, kind=kind, **_figures(taken))
        growth = self.growth()
        is_flat = minutes < _LEAST_MINUTES or all(
            slope <= MOST_MB_A_MINUTE for slope in growth.values()
        )
        _say(growth_mb_a_minute=growth, bound=MOST_MB_A_MINUTE, is_flat=is_flat)
        answers = sum(map(len, self.all_times.values()))
        _say(answers=answers, minutes=minutes, faults=len(self.faults))
        return is_flat and not self.faults


def _figures(taken: list[float]) -> dict[str, float]:
    taken.sort()
    return {
        "answers": len(taken),
        "p50_ms": round(taken[len(taken) // 2] * 1000, 1),
        "p99_ms": round(taken[int(len(taken) * 0.99)] * 1000, 1),
        "most_ms": round(taken[-1] * 1000, 1),
    }


def _say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def memory(site: Site) -> dict[str, int]:
    """Return the proportional memory of each process with what it started, in MB."""
    held = {}
    for name, pid in site.children().items():
        total = 0
        for one in (pid, *descendants(pid)):
            try:
                text = Path(f"/proc/{one}/smaps_rollup").read_text()
            except OSError:
                continue
            total += next(int(line.split()[1]) for line in text.splitlines() if "Pss:" in line)
        held[name] = total // 1024
    return held


def _address(*nested: dict[str, Any]) -> str:
    """Return the DICOMweb address of a study, or of a series or an instance in it."""
    keys = (("studies", "StudyInstanceUID"), ("series", "SeriesInstanceUID"))
    names = (*keys, ("instances", "SOPInstanceUID"))
    return "/dicom-web/" + "/".join(
        f"{part}/{thing[keyword]}" for (part, keyword), thing in zip(names, nested, strict=False)
    )


class Load:
    """Users of one site."""

    def __init__(self, site: Site, token: str) -> None:
        self.site = site
        self.results = Results()
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{site.web_port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
            limits=httpx.Limits(max_connections=32),
        )
        self.studies: list[dict[str, Any]] = []
        self._chance = random.Random(1)  # noqa: S311 - which study is opened next

    async def ask(
        self, kind: str, method: str, path: str, *, expect: Sequence[int] = (200,), **more: Any
    ) -> httpx.Response:
        """Send a request and note what came of it."""
        began = time.monotonic()
        try:
            answer = await self.client.request(method, path, **more)
        except httpx.HTTPError as error:
            self.results.faults.append(f"{kind} {path}: {error!r}")
            raise
        self.results.times[kind].append(time.monotonic() - began)
        if answer.status_code not in expect:
            words = answer.text[:300] if "json" in answer.headers.get("content-type", "") else ""
            self.results.faults.append(f"{kind} {path}: {answer.status_code} {words}")
        return answer

    async def look_up(self) -> None:
        """Learn what there is to read."""
        answer = await self.ask("studies", "GET", "/api/v1/dicom/studies?limit=100")
        for study in answer.json():
            path = f"/api/v1/dicom/studies/{study['id']}/series"
            study["series"] = (await self.ask("series", "GET", path)).json()
            for series in study["series"]:
                path = f"/api/v1/dicom/series/{series['id']}/images?limit=1000"
                images = (await self.ask("images", "GET", path)).json()
                series["images"] = [image for image in images if not image.get("problem")]
            study["series"] = [series for series in study["series"] if series["images"]]
            if study["series"]:
                self.studies.append(study)

    async def read(self) -> None:
        """Open a study as the viewer does and scroll through a series."""
        study = self._chance.choice(self.studies)
        await self.ask("viewer manifest", "GET", f"/viewer/api/studies/{study['id']}/")
        images = self._chance.choice(study["series"])["images"]
        for start in range(0, min(len(images), 160), _BATCH):
            wanted = "&".join(f"f={image['id']}:1" for image in images[start : start + _BATCH])
            await self.ask("viewer batch", "GET", f"/api/v1/dicom/frames?{wanted}")

    async def render(self) -> None:
        """Ask for a picture of any image in a window of one's own."""
        study = self._chance.choice(self.studies)
        series = self._chance.choice(study["series"])
        image = self._chance.choice(series["images"])
        base = (
            f"/dicom-web/studies/{study['StudyInstanceUID']}/series/{series['SeriesInstanceUID']}"
        )
        path = f"{base}/instances/{image['SOPInstanceUID']}/rendered"
        window = f"{self._chance.randint(0, 200)},{self._chance.randint(50, 2000)},linear"
        words = {"window": window} if study.get("is_grey") else {}
        await self.ask("rendered", "GET", path, params=words, headers={"Accept": "image/jpeg"})

    async def search(self) -> None:
        """Search as programs do, and fetch what was found."""
        study = self._chance.choice(self.studies)
        words = self._chance.choice(
            (
                {"PatientID": study["PatientID"]},
                {"StudyInstanceUID": study["StudyInstanceUID"]},
                {"ModalitiesInStudy": "CT", "limit": "20"},
                {"PatientName": "A*", "includefield": "all"},
            )
        )
        await self.ask("qido", "GET", "/dicom-web/studies", params=words, expect=(200, 204))
        await self.ask(
            "metadata", "GET", f"/dicom-web/studies/{study['StudyInstanceUID']}/metadata"
        )
        series = self._chance.choice(study["series"])
        image = self._chance.choice(series["images"])
        await self.ask("wado instance", "GET", _address(study, series, image))

    async def store(self) -> None:
        """Store a small study of three images."""
        study, series = generate_uid(), generate_uid()
        parts = []
        for number in range(3):
            made = make_instance(
                StudyInstanceUID=study,
                SeriesInstanceUID=series,
                SOPInstanceUID=generate_uid(),
                InstanceNumber=number + 1,
            )
            parts.append(
                b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n"
                % (_BOUNDARY.encode(), to_bytes(made))
            )
        body = b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])
        kind = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
        await self.ask(
            "stow", "POST", "/dicom-web/studies", content=body, headers={"Content-Type": kind}
        )
        await asyncio.sleep(0.2)


async def _again(act: Callable[[], Awaitable[None]], until: float, results: Results) -> None:
    while time.monotonic() < until and len(results.faults) < 20:
        try:
            await act()
        except httpx.HTTPError:
            await asyncio.sleep(1)


async def _run(site: Site, token: str, minutes: float) -> Results:
    load = Load(site, token)
    await load.look_up()
    _say(studies=len(load.studies), memory_mb=memory(site))
    began = time.monotonic()
    until = began + minutes * 60
    acts = [load.read] * 3 + [load.render] * 2 + [load.search] * 2 + [load.store]
    users = [asyncio.create_task(_again(act, until, load.results)) for act in acts]
    told = began
    while any(not user.done() for user in users):
        await asyncio.wait(users, timeout=min(_LOOK_EVERY_S, max(1.0, until - time.monotonic())))
        now = time.monotonic()
        load.results.held.append(((now - began) / 60, await asyncio.to_thread(memory, site)))
        if now - told >= 60:
            load.results.report((now - began) / 60)
            told = now
    load.results.report((time.monotonic() - began) / 60)
    await load.client.aclose()
    return load.results


def main() -> int:
    """Run the load; return 1 where anything was not answered as it should be."""
    parser = argparse.ArgumentParser(description="Many users at once.")
    parser.add_argument("--minutes", type=float, default=30)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noctis-load-") as folder:
        environ = product.environment(Path(folder) / "var", NOCTIS_ADMIN_USER="boss")
        with product.started(environ, Path(folder) / "terminal") as site:
            site.wait_for("NoctisPro is ready")
            for name in _FOLDERS:
                done = site.manage("import_dicom", str(_DATA / name), timeout=900)
                assert done.returncode in (0, 1), done.stderr
            token = site.manage("add_token", "boss").stdout.split()[-1]
            results = asyncio.run(_run(site, token, wanted.minutes))
    for fault in results.faults[:20]:
        _say(fault=fault)
    return 0 if results.summary(wanted.minutes) else 1


if __name__ == "__main__":
    sys.exit(main())
