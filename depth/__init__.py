"""Photo to normalised inverse depth."""
