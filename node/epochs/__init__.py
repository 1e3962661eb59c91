"""Which ring it is: members and table, changed by decrees that a majority voted."""
