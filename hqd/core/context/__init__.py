"""Context: which documents an attempt is sent, within a budget, with a reason for each. Pure."""
