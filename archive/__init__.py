"""The archive's use cases: one way in, one way out, one place that decides who may."""
