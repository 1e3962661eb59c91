"""Who is here: the gossip of gossip/ on the seam."""
