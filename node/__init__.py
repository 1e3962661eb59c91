"""ONE member: its store today, its replica core and shell with the cluster."""
