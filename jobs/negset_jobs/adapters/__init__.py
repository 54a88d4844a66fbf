"""Everything outside the process: stores, Ray, Kubernetes, addresses, the console."""
