"""An HQ with a remote: fetched, pushed, decided again."""
