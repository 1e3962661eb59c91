"""A folder that a node serves: its storages, and what clients on the host read past it."""
