"""The edge to the API server. Nothing else in the operator speaks HTTP."""
