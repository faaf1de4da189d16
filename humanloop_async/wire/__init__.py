"""The v4 protocol without I/O: bytes in, objects out. Nothing here opens a socket, waits, or reads a clock."""
