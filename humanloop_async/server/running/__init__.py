"""Ways to run the server: on an address, in several processes, or inside another program."""
