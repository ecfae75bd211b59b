"""Does everything public say what it is?"""

import importlib
import inspect
import pkgutil


def public_things(package, skip=()):
    """Modules, classes, functions and methods without a leading underscore, by name."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.startswith(tuple(skip) or ("?",)):
            module = importlib.import_module(found.name)
            yield found.name, module
            yield from _members(module)


def _members(module):
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield f"{module.__name__}.{name}", thing
        for inner, method in vars(thing).items() if inspect.isclass(thing) else ():
            if not inner.startswith("_") and (inspect.isfunction(method) or isinstance(method, property)):
                yield f"{module.__name__}.{name}.{inner}", method


def undocumented(things):
    return [name for name, thing in things.items() if not inspect.getdoc(thing)]
