"""File formats that several stages read and write."""
