"""``make mutate``: breaks lines of the library on purpose, one at a time, and asks whether a test notices.

``recording`` learns once which tests run which lines, ``mutants`` makes the broken lines (with cosmic-ray's operators),
``trial`` runs the tests of each in a copy of the tree, and ``__main__`` is the command. Everything is kept in
``.mutation``, so that a run which was interrupted goes on where it was.
"""
