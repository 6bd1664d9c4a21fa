"""The forge as the daemon meets it: what it is told, what it is asked, and what follows from its refusals."""
