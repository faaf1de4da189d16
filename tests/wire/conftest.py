"""Hypothesis judges what the code does here, never how fast this machine happens to be."""

from hypothesis import settings

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")
