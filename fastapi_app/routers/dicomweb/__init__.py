"""DICOMweb (PS3.18) at `/dicom-web`: one module per service, one router for all of them."""

from __future__ import annotations

from fastapi import APIRouter

from fastapi_app.routers.dicomweb import capabilities, retrieve, search, store, workflow, workitems
from fastapi_app.services.dicomweb.asking import PREFIX

router = APIRouter(prefix=PREFIX)
_parts = [module.router for module in (search, retrieve, store, workflow, workitems)]
for _part in _parts:
    router.include_router(_part)
capabilities.add_to(router, _parts)
