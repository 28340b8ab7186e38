"""Entry point of the `vaguemestre` command."""

from vaguemestre.cli.program import program


def main() -> None:
    """Run the command line."""
    program()


if __name__ == "__main__":
    main()
