"""`python -m infra`: the `freshet` command of this installation, wherever its script may be."""

from infra.cli import main

main()
