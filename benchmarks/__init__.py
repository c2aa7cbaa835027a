"""Measures how fast the programs are, beside other ways of doing the same, by `make bench`. Nothing here ships."""
