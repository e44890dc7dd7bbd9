"""Studies of nobody: made from arithmetic, so that a new site has something to look at."""
