"""THE SAME NODES in a made-up world."""
