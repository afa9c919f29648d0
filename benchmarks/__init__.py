"""Figures that can be made again with `make bench`; what they mean stands in README.md beside this file."""
