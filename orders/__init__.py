"""Orders: what is to be done to whom, what was done, and what became of the images."""
