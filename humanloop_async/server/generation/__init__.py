"""Generation: from a decoded request to provider calls, streamed events and stored logs."""
