"""``python -m ladera`` is ``ladera``."""

from ladera.cli import main

main()
