"""The bus: the only package that knows transport. `port` is what the rest of the service sees of it."""
