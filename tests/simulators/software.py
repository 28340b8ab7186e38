"""Other people's software, as Debian installs it."""

import shutil


def program(name: str, package: str = "") -> str:
    """Where a program is. Fails the test, saying what to install, where there is none."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    assert found, f"this test needs {name}: apt-get install {package or name}"
    return found
