"""The entries of the registry, a file a family."""
