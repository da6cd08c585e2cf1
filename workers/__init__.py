"""Transforms and sends: Celery workers around a pipeline of stages."""
