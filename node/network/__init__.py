"""What nodes and clients say, and the lines that carry it."""
