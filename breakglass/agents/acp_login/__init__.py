"""The login of an agent over the Agent Client Protocol. Its dialogue is that of the agent's action `log-in-NAME`."""
