"""The figures we publish: one module a measurement, each run by one command.

Owns measurements and what judges them. Asserts nothing, and nobody imports it.
"""
