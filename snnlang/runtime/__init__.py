"""Doing it: devices, simulations, recordings, data and pictures."""
