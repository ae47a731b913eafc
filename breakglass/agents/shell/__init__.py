"""A shell as an agent without a model: each prompt is a script."""

from breakglass.agents import About

ABOUT = About(built_in=("bash",), is_command_line=True)
