"""The model providers: each turns a `ProviderCall` into chunks of indexed samples."""
