"""One adapter per client; each runs in a separate process and virtual environment."""
