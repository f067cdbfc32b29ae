# SPDX-License-Identifier: Apache-2.0
"""Messages of the library in the words of the command line, and help without programmers' types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup

# Parameters of the library that have another name on the command line.
_RENAMED = {"scale": "--gt-scale"}


def option_names(command: Any) -> dict[str, str]:
    """Python name -> long option, of a command's options; arguments have none."""
    names = {
        parameter.name: max(parameter.opts, key=len)
        for parameter in command.params
        if parameter.param_type_name == "option"
    }
    options = set(names.values())
    return names | {name: option for name, option in _RENAMED.items() if option in options}


def in_options(message: str, names: Mapping[str, str]) -> str:
    """A message that names options instead of Python arguments.

    A name is one where the message begins with it, alone or in a list, or tells to give it; the
    same word elsewhere ("on the 0..255 scale") is English.
    """
    if not names:
        return message
    name = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    subject = rf"^(?:{name})(?:, (?:{name}))*(?=:| is )"
    object_ = rf"\b(?<=give )(?:either )?(?:{name})\b(?: or (?:{name})\b)?"
    word = rf"\b(?:{name})\b"

    def rename(found: re.Match[str]) -> str:
        return re.sub(word, lambda match: names[match[0]], found[0])

    return re.sub(f"{subject}|{object_}", rename, message)


def _plain(parameters: list[Any]) -> list[Any]:
    """Leave out types that are Python's, not the user's: <bool> of a flag, <list[Path]>."""
    for parameter in parameters:
        # --help and --version are among them, which no declaration of ours can reach.
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
        if parameter.param_type_name == "argument" and hasattr(parameter, "display_type_rich"):
            parameter.display_type_rich = lambda **_: None  # its name says all
    return parameters


class Command(TyperCommand):
    """A command with plain help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As of the base class."""
        return _plain(super().get_params(ctx))


class Group(TyperGroup):
    """The same for the program itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As of the base class."""
        return _plain(super().get_params(ctx))
