"""Try it: drafts read real conversations, and nothing of what they find is kept."""
