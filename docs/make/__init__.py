"""The site of the documentation: ``python -m docs.make``, which ``make docs`` calls.

Pages written by hand stand in ``docs/``; those of studies, notebooks, modules, claims and papers are made here from what the
lab declares. All go as Markdown to ``build/docs``, MkDocs makes ``site/`` of them, and every link is followed.
"""
