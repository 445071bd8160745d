#!/usr/bin/env python3
"""How Doxygen reads a header, so that headers can be written for people:

- the inline namespace of the ABI tag goes, and so do defaulted and deleted functions and macros that
  are nobody's to use;
- the comment a header begins with documents the file and, unless it has one of its own, the name the
  file is called after;
- a comment stands for all declarations that follow it without a blank line, one behind a declaration
  for each of its declarators.
"""
import pathlib
import re
import sys

SEVERAL = re.compile(r"^(\s*)((?:\w+ )*?[\w:<>, ]+?[>\w](?: \*)?) (\w+(?: = [^,;(]+)?(?:, \w+(?: = [^,;(]+)?)+);(.*)$")
SCOPE = re.compile(r"\s*(inline |constexpr )*(struct|class|enum|namespace|concept|friend)\b")
NO_DECLARATION = re.compile(r"\s*(template\b|requires\b|[})#:]|//)")
HIDDEN = re.compile(r'#\s*define (PCRE2_|TERN_\w*_\b)|#include .*\.inl"|.*= (default|delete);$')


def indent(line):
    return len(line) - len(line.lstrip())


def with_file_comment(lines, stem):
    end = next(i for i, line in enumerate(lines) if not line.startswith("//"))
    comment = [line[2:] for line in lines[:end]]
    out = ["//! @file"] + ["//!" + line for line in comment] + lines[end:]
    named = re.compile(rf"^(template <.*> )?(struct|class) {stem}\b[^;]*$")
    for i in range(end, len(out)):
        if named.match(out[i]):
            start = i
            while re.match(r"template|  requires", out[start - 1]):
                start -= 1
            if not out[start - 1].startswith("///"):
                out[start:start] = ["///" + line for line in comment]
            break
    return out


def separate(line):
    """One declaration for each declarator."""
    match = SEVERAL.match(line)
    if not match or re.match(r"\s*(return|using|template|for|if|case|else)\b", line):
        return [line]
    space, kind, names, comment = match.groups()
    return [f"{space}{kind} {name};{comment}" for name in names.split(", ")]


def grouped(lines):
    """Marks what one comment stands for, where that is more than one declaration."""
    out = []
    for i, line in enumerate(lines):
        out.append(line)
        if not re.match(r"\s*///(?!<)", line) or re.match(r"\s*(//|$)", (lines[i + 1:] + [""])[0]):
            continue
        level, end, declarations = indent(line), i + 1, 0
        while end < len(lines) and lines[end].strip() and indent(lines[end]) >= level and not (
                indent(lines[end]) == level and re.match(r"\s*(///|(private|public):)", lines[end])):
            if indent(lines[end]) == level and not NO_DECLARATION.match(lines[end]):
                declarations += 1
            end += 1
        first = next((l for l in lines[i + 1:end] if not NO_DECLARATION.match(l)), "")
        if declarations > 1 and not SCOPE.match(first):
            out.append(" " * level + "//! @{")
            lines[end - 1] += "\n" + " " * level + "//! @}"
    return out


def escaped(line):
    """A comment's angle brackets are no tags."""
    comment = re.search(r"//[/!]<?", line)
    if not comment:
        return line
    code, text = line[:comment.end()], line[comment.end():].split("`")
    text[::2] = [re.sub(r"(?<!\\)[<>]", r"\\\g<0>", part) for part in text[::2]]
    return code + "`".join(text)


def main():
    path = pathlib.Path(sys.argv[1])
    lines = path.read_text().replace("namespace tern::inline TERN_ABI", "namespace tern").split("\n")
    lines = with_file_comment(lines, path.stem)
    lines = [escaped(part) for line in lines if not HIDDEN.match(line) for part in separate(line)]
    print("\n".join(grouped(lines)))


if __name__ == "__main__":
    main()
