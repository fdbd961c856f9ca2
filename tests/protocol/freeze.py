"""freeze: `python -m tests.protocol.freeze VERSION` keeps what this version says on the wire, for those that follow."""

from __future__ import annotations

import argparse

from tests.protocol.spoken import FOLDER, today


def main() -> None:
    """Write the descriptors of all messages to a file of that name. What was frozen already stays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", metavar="VERSION", help="what it is called, for example 0.2")
    path = FOLDER / f"{parser.parse_args().version}.binpb"
    try:
        with path.open("xb") as file:
            file.write(today().SerializeToString(deterministic=True))
    except FileExistsError:
        parser.error(f"{path.name} is there already: what was frozen stays as it is")


if __name__ == "__main__":
    main()
