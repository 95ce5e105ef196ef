"""What the API takes and returns: one class parses, documents and serializes each thing."""
