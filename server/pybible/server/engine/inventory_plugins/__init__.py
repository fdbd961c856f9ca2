"""inventory_plugins: part of pybible.server."""
