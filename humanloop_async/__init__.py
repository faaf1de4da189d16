"""Async SDK and self-hosted server for the Humanloop v4 API."""

__version__ = "0.1.0"
