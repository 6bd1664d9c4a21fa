"""Gates: named checks of an attempt. `registry.Registry` fulfils the port; one file a group of kinds."""
