"""The pages of follow-ups."""
