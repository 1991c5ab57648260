"""Labelled tiles to model folders."""
