"""The one expression language: its values, its sandbox, its evaluation."""
