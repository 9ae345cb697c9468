"""Files on disk: written whole or not at all, arrays without pickle, and locks that one process holds at a time."""
