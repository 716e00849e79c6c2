"""The standard library, written in the language itself, one idea a file. This module only marks the place."""

if __name__ != "snnlang.stdlib":
    raise ImportError("import it as snnlang.stdlib")
