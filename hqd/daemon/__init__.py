"""The loop, the workers, and what surrounds them."""
