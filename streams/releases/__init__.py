"""Model releases: the registry in the object store, and the swap of the running model for another."""
