"""Views of sign-in, the profile, API keys, members, and the audit log."""
