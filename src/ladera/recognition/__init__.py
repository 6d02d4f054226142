"""What a file or folder is, by its content: the formats of the field, those read and the others.

>>> from ladera.recognition import recognise
>>> kind = recognise("nep.txt")
>>> kind.name, kind.is_read, kind.advice

:mod:`~ladera.recognition.models` and :mod:`~ladera.recognition.data` are the one table of
signatures there is; to add a format is to add a row. Nothing of a file is run, unpickled or
unpacked beyond its first bytes: a pickle is searched for the names that stand in it as text.
"""

from ladera.recognition.kinds import FileKind, foreign, recognise

__all__ = ["FileKind", "foreign", "recognise"]
