"""Find held-out images that are copies of training images."""
