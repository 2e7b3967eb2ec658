"""An extension of griffe: functions decorated with `takes(Options)` show the parameters of `Options`."""

from __future__ import annotations

from typing import Any

import griffe


class Signatures(griffe.Extension):
    """Copy the parameters, with their annotations and defaults, when the package has been read."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        for module in pkg.modules.values():
            for function in (each for each in module.functions.values() if not each.is_alias):
                for decorator in function.decorators:
                    if str(decorator.value).startswith("takes("):
                        given = pkg["_options.Options.__init__"].parameters
                        function.parameters = griffe.Parameters(*(each for each in given if each.name != "self"))
