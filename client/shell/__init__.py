"""The command line's own part of the client: what its words mean, what it prints, how it ends."""
