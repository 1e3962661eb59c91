"""What a store holds: entries, Dicts, their operations, written once for embedded stores and nodes."""
