"""The blocks of a page in Markdown, and whether a program has printed what one of
them says. Tests follow pages by them, so that a page and its test are one."""

import re


class Wrong(Exception):
    pass


class Block:
    def __init__(self, place, info, text):
        self.place = place
        self.tag, _, self.rest = info.partition(" ")
        self.text = text


def blocks_of(name, text):
    """Each as it stands there, without the indent that a list gives it."""
    begin = None
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.lstrip().startswith("```"):
            continue
        if begin is None:
            begin = number
            continue
        fence = lines[begin - 1]
        indent = len(fence) - len(fence.lstrip())
        inner = "".join(f"{line[indent:]}\n" for line in lines[begin:number - 1])
        yield Block(f"{name}:{begin}", fence.strip()[3:].strip(), inner)
        begin = None
    if begin is not None:
        raise Wrong(f"{name}:{begin}: this block never ends")


def matches(wanted, printed):
    """`...` stands for anything within a line, and alone on a line for any lines."""
    lines = []
    for line in wanted.rstrip("\n").split("\n"):
        lines.append("(?:.*\n)*" if line.strip() == "..." else
                     "[^\n]*".join(re.escape(part) for part in line.split("...")) + "\n")
    return re.fullmatch("".join(lines), printed.rstrip("\n") + "\n") is not None
