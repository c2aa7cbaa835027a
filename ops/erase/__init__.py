"""Finds what is held of a call or a telephone number, erases what can go, and tells until when the rest remains."""
