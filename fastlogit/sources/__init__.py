"""Who owns the rows: memory now, files and clusters later. Every source returns raw sums over its rows."""
