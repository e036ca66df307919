"""Workers in the calling process or on Ray."""
