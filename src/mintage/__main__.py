"""``python -m mintage`` is the command ``mintage``."""

from mintage.cli.main import run

if __name__ == "__main__":
    run()
