"""`python -m medprep`, where the script is not on the path."""

from medprep.cli import main

main()
