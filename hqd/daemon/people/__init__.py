"""What people do, by files, by commands, by edits, and how it is heard."""
