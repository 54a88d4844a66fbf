"""What touches the world outside: stores, Ray, Kubernetes, addresses, the console."""
