"""The command line: parse, call the package, print. No logic; each command is imported when it runs."""
