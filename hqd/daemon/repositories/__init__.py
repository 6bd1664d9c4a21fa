"""Work on other repositories than the HQ."""
