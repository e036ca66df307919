"""Trains the network: settings, recipes, the loop and what it writes."""
