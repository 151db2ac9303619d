"""How rows lie in memory, one file for each way, and what they share."""
