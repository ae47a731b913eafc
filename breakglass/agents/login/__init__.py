"""A program that logs an agent in: see `dialogue`."""
