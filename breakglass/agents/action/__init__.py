"""The programs of actions: each runs by itself, and its output is the result of one tool. Pure."""
