"""The command line. `main` declares commands and flags; each command's work is in the file of its name."""
