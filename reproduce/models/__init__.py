"""Keras networks, their losses and the training loop; knows arrays and tensors, nothing about files or data frames."""
