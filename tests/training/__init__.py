"""Laws of `training`, on folders and runs that take a blink."""
