"""The conversation page, its rerun and its history."""
