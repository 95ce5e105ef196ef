"""Views of contacts and mappings."""
