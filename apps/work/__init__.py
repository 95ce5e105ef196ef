"""Leased work over any table; knows nothing of conversations."""
