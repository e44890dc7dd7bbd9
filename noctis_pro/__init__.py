"""Composition root: configuration, settings, URLs, ASGI, Celery, health."""
