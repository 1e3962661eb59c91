"""ASK: the Dict and all that carries a call to where its key lives."""
