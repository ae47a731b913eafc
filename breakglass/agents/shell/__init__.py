"""A shell, the agent that needs no model: each prompt is a script."""

from breakglass.agents import About

ABOUT = About(built_in=("bash",), is_command_line=True)
