"""The HTTP side of the server: routes, key check, request bodies, error responses and handlers."""
