"""Receive HTTP requests whole before a thread works on them, and send responses at their own pace.

A client that is slow, large or odd occupies a connection, never a thread, and never more memory
or disk than its path needs (decision 0025).
"""
