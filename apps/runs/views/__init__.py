"""The pages of this app: the form with its preview, the list, one run, and the banner."""
