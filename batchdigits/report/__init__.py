"""Scores and steps to pictures and pages."""
