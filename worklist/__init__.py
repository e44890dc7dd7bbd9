"""Facilities, patients, studies, and the pages that list and take them in."""
