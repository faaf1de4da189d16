"""What a streamed event costs: this package, its peers and two floors, measured side by side."""
