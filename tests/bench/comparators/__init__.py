"""The designs a user would pick instead, each as small as it honestly can be, and what they are installed from."""
