"""What is wrong with an installation, and how to mend it: the checks of `vaguemestre doctor`."""
