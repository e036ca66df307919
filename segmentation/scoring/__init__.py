"""Scores of masks: measures, protocols, published figures, tables and plots."""
