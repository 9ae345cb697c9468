"""The command line: parse, call the API, print. No logic lives here, and each command is imported when it is run."""
