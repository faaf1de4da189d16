"""One adapter per peer; each runs in a process and a virtual environment of its own."""
