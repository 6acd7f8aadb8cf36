"""The rules, pure: no input or output, no clock, no randomness, no async. Functions on frozen records."""
