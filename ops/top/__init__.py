"""The whole pipeline on one screen."""
