"""How code is made and run: compilation and its cache, threads, vectors, elementary functions."""
