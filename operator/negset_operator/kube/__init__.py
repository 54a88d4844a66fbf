"""The requests to the API server. Nothing else in the operator sends HTTP requests."""
