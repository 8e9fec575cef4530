"""Fixtures for every test."""

pytest_plugins = ["helpers.server"]
