"""Views of agents: the list, the tabs, the history."""
