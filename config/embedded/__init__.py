"""PostgreSQL, Valkey and a small model from Python wheels, for anyone who brings none of their own.

Each part is used only where its environment variable is unset. Growing out of one is setting
that variable (docs/operations.md).
"""
