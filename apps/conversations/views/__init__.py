"""Views of the history pages."""
