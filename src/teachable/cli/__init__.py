"""The command line: thin. Each command parses, calls one function, and shows what came of it."""
