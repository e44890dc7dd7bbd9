"""WADO-RS: retrieve studies, series, instances and what belongs to them."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["DICOMweb: retrieve"])
