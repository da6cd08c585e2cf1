"""The line at the top of every page that is made."""

NOTE = "<!-- Made by docs/generate.py; `make docs-generate` writes it again. -->"
