"""DICOMweb (PS3.18) at `/dicom-web`: one module per service, one router for all of them."""

from __future__ import annotations

from fastapi import APIRouter

from fastapi_app.routers.dicomweb import capabilities, retrieve, search, store
from fastapi_app.services.dicomweb.asking import PREFIX

router = APIRouter(prefix=PREFIX)
for _part in (search, retrieve, store):
    router.include_router(_part.router)
capabilities.add_to(router)
