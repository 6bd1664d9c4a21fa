"""What bounds work: money, rates, pauses after failures, circuits."""
