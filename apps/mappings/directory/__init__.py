"""The contact directory: filter, list, export, and import contacts."""
