"""The pages of this room: the list, the tabs of an agent, its history."""
