"""History decided again under other rules, with the attempts that were recorded. Pure."""
