"""Notification rows, the outbox relay to Channels, and the bell."""
