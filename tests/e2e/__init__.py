"""Laws of the whole house: real processes, real Redis, real HTTP."""
