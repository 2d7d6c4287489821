"""What each column of a list is: recipes, those that come along, and guessing one."""
