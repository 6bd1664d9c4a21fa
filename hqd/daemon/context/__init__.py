"""Context of attempts: collecting candidates from git by rule, and rebuilding what past attempts were sent."""
