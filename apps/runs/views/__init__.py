"""The pages of this room: the form with its preview, the list, one run, the banner."""
