"""The page on which a dataset is looked at in a browser, and the server on loopback that serves it."""
