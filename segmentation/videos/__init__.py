"""Video datasets: where frames and masks lie, and how they are read and drawn."""
