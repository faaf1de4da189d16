"""The protocol without I/O: bytes in, objects out. Nothing here waits, opens or reads a clock."""
