"""The demo: a small dataset with known truth, a web server for it, and its manifest."""
