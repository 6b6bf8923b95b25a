"""Entry point of scripts/smartgouv."""

from operate.cli import main

if __name__ == "__main__":
    main()
