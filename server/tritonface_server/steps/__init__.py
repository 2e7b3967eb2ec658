"""The Python-backend steps of an ensemble: they adapt Triton tensors to the pure functions of `tritonface_server`."""
