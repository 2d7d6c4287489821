"""The commands, a file a group; how a result is shown to people stands below the command that has it."""
