"""One module per CRM, all behind the classes of `base`. They know nothing of the database."""
