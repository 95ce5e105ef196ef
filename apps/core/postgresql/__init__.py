"""Django's backend for PostgreSQL, with a cheaper check whether a connection lives."""
