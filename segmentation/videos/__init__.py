"""Video datasets: their table, folder trees, mask files and frames, and masks drawn over frames."""
