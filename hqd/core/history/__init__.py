"""History as a test bed: labels, clusters, backtests, versions compared, honest shares."""
