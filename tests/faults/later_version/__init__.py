"""A later version of Debrief, with two more migrations, the second of which can fail."""
