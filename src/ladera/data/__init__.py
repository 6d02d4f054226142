"""Data sets: reading, checking, splitting and storing labelled structures."""
