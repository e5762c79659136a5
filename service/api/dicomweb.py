"""All routes of DICOMweb under one roof."""

from fastapi import APIRouter

from service.api import dicomweb_retrieve, dicomweb_search, dicomweb_store

router = APIRouter()
for part in (dicomweb_search, dicomweb_retrieve, dicomweb_store):
    router.include_router(part.router)
