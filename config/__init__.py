"""Celery is loaded with Django, so that tasks sent from web processes know the routes."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
