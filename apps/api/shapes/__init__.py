"""What bodies and answers look like, as the OpenAPI document says it.

These classes describe; they do not validate. What comes in is read by the rooms themselves, with
sentences of their own, and what goes out is written by their ``presenting`` modules. Tests hold
the two against each other, on every operation.
"""
