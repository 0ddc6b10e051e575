"""The pages: a gallery of all studies, and one page for each, derived from its declaration."""
