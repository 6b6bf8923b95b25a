"""Entry point of scripts/lab."""

from operate.lab.cli import main

if __name__ == "__main__":
    main()
