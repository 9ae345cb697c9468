"""Files on disk: written whole or not at all; arrays without pickle, records in JSON, sums and locks."""
