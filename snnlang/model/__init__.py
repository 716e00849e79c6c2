"""What is meant: names, units and shapes resolved, every mistake of the text found."""
