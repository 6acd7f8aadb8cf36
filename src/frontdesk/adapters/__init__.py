"""Frameworks meet the endpoints here: thin translations, one file each."""
