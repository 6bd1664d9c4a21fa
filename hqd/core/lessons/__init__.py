"""What lessons are made of, whether they are true, what they were worth."""
