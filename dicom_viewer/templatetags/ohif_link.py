"""`{% ohif_link uid as address %}`: where a study opens in OHIF, empty without OHIF."""

from __future__ import annotations

from django import template

from dicom_viewer import ohif

register = template.Library()
register.simple_tag(ohif.link_to, name="ohif_link")
