"""The designs that a user could choose instead, each in its smallest fair form, and their pinned dependencies."""
