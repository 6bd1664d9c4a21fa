"""Text to values and back. Pure."""
