"""Leased work over any table, and the sampler; knows nothing of conversations."""
