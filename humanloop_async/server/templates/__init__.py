"""Templates: fill inputs into prompts, with v4's default language or with Jinja."""
