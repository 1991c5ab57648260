"""Tiles to probabilities."""
