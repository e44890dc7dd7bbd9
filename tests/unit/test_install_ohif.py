"""`scripts/install_ohif.py`: what it takes from a package, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts import install_ohif

_SCRIPT = b'start(); __webpack_require__.p = "/"; go();'
_FILES = {
    "package/dist/app.bundle.0f.js": _SCRIPT,
    "package/dist/app.bundle.css": b"a{src:url(/x.woff2)} b{src:url(data:,) url(//c/d)}",
    "package/dist/index.html": b"<html>",
    "package/dist/app.bundle.0f.js.map": b"{}",
    "package/dist/ort/ort.wasm": b"0",
    "package/dist/../../escaped.js": b"0",
    "package/src/other.js": b"0",
}


def _archive(folder: Path, files: Mapping[str, bytes]) -> Path:
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def test_the_build_moves_below_our_folder(tmp_path: Path) -> None:
    target = tmp_path / "served" / "ohif"
    install_ohif.unpack(_archive(tmp_path, _FILES), target)
    install_ohif.relocate(target)
    install_ohif.describe(target, {"version": "9"})
    assert sorted(path.name for path in target.rglob("*")) == [
        "app.bundle.0f.js", "app.bundle.css", "installed.json",
    ]  # fmt: skip
    script = (target / "app.bundle.0f.js").read_text()
    assert script == 'start(); __webpack_require__.p = "/static/ohif/"; go();'
    style = (target / "app.bundle.css").read_text()
    assert style == "a{src:url(/static/ohif/x.woff2)} b{src:url(data:,) url(//c/d)}"
    assert not list(tmp_path.rglob("escaped.js"))


def test_another_way_of_building_is_not_served_half(tmp_path: Path) -> None:
    files = {**_FILES, "package/dist/app.bundle.0f.js": b"p('/')"}
    install_ohif.unpack(_archive(tmp_path, files), tmp_path / "ohif")
    with pytest.raises(install_ohif.InstallError, match="another way"):
        install_ohif.relocate(tmp_path / "ohif")


def test_a_package_with_another_digest_is_refused(tmp_path: Path) -> None:
    archive = _archive(tmp_path, _FILES)
    right = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    package = {"name": "@ohif/app", "version": "9", "integrity": f"sha512-{right}"}
    install_ohif.check(archive, package)
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(install_ohif.InstallError, match="digest"):
        install_ohif.check(archive, package)
