"""Pictures over the network: asked for politely, checked, and never from an address that is off limits."""
