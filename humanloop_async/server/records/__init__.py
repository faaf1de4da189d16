"""Records that calls refer to and create: projects, configs, sessions, logs and feedback."""
