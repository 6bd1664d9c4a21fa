"""`hqd backtest`."""
