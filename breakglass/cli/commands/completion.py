"""Print the completion script of a shell: bash, zsh or fish."""

from argparse import Namespace

from breakglass.cli import completion, screen
from breakglass.cli.command import Command, Word
from breakglass.config import Config
from breakglass.errors import BadInput


def run(config: Config, args: Namespace) -> int:
    """Print the script. Needs no data root."""
    (shell,) = args.words
    if shell not in completion.SHELLS:
        raise BadInput(f"expected {', '.join(completion.SHELLS)}, got {shell[:40]!r}")
    screen.write(completion.SHELLS[shell]())
    return 0


COMMAND = Command(
    run,
    words=(Word("bash|zsh|fish", "the shell"),),
    output="the script",
    examples="""\
  source <(breakglass completion bash)                                        this bash only
  breakglass completion bash > ~/.local/share/bash-completion/completions/breakglass
  breakglass completion zsh > /usr/local/share/zsh/site-functions/_breakglass
  breakglass completion fish > ~/.config/fish/completions/breakglass.fish""",
    notes="It completes commands, options, paths and the ids of sessions. Make it again after an upgrade.",
)
