"""The page of `tritonface web`, made with Gradio: the extra `web`."""
