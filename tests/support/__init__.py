"""Functions and models shared by the tests."""
