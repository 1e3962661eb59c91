"""WHO is here. Pure: time comes in as an argument."""
