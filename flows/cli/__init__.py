"""The commands, one file per group. The functions that print a result follow the command that returns it."""
