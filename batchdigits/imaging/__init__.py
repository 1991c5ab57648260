"""Pages to candidate tiles: pure OpenCV, no files."""
