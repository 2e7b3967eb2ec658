"""`tritonface completion`: what makes a shell complete the command; needs shtab, the extra `completion`."""

from __future__ import annotations

import argparse

from tritonface._errors import InvalidArgumentError

FILES = ("input", "model_dir", "probe", "save", "tls_ca", "tls_cert", "tls_key")
"""Arguments that are files or folders."""


def completion(options: argparse.Namespace) -> int:
    """Print the script of a shell."""
    try:
        import shtab
    except ImportError:
        raise InvalidArgumentError("completion needs shtab: pip install 'tritonface[completion]'") from None
    parser: argparse.ArgumentParser = options.parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                for argument in command._actions:
                    if argument.dest in FILES:
                        argument.complete = shtab.FILE
    print(shtab.complete(parser, options.shell))
    return 0
