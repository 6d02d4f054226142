"""Other codes' files and engines."""
