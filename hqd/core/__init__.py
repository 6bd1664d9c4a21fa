"""Pure decisions over frozen values: what comes next, and why."""
