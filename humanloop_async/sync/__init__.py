"""The sync facade: the async client's names over one background event loop."""
