"""WHERE a key lives. Pure: no time, no network."""
