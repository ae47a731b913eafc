"""The process that sends notifications. Neither a runner nor a server imports this package."""
