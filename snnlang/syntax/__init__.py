"""What is written: the grammar, the tree, the parser and the formatter."""
