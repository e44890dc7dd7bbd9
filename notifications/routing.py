"""Addresses of sockets."""

from django.urls import path

from notifications.consumers import EventConsumer

websocket_urlpatterns = [path("ws/events/", EventConsumer.as_asgi())]
