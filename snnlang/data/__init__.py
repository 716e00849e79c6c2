"""Samples for trials and for training: readers of files, event recordings, sensors that make events, public data sets."""
