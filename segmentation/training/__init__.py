"""Training of the network: settings, recipes, the loop, and the folder of a run."""
