"""Derived fields: fields of results that are computed from other fields, without a model."""
