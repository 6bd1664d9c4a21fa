"""The one door for each outside thing."""
