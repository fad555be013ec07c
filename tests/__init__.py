"""Laws of the house, a folder for each room."""
