"""The pages of this room: signing in, one's own profile, API keys, people, the audit log."""
