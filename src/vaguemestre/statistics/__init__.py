"""Figures for those who run the service and those who watch over it: counted, never named."""
