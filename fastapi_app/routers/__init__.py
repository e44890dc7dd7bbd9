"""One module per interface; `main` mounts them."""
