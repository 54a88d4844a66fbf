"""Training with the TensorFlow Object Detection API: the only package that imports TensorFlow."""
