"""Labelled text: reading and splitting it, classifiers that learn it, and what both say of a text."""
