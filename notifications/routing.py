"""Addresses of sockets."""

from django.urls import path

from notifications.consumers import EventConsumer
from notifications.subscriber_socket import SubscriberConsumer

# Of programs, which sign in as they do for DICOMweb; the others are for our own pages.
SUBSCRIBERS = "/ws/subscribers/"

websocket_urlpatterns = [path("ws/events/", EventConsumer.as_asgi())]
subscriber_urlpatterns = [
    path(f"{SUBSCRIBERS[1:]}<str:ae_title>", SubscriberConsumer.as_asgi()),
    path(f"{SUBSCRIBERS[1:]}<str:ae_title>/", SubscriberConsumer.as_asgi()),
]
