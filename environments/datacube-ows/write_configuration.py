"""Write a configuration of datacube-ows with the layers and colors of React-2-EO, from the store in the environment.

    python environments/datacube-ows/write_configuration.py --url https://maps.example/ows ows.json

datacube-ows needs a PostgreSQL server with PostGIS, so not the embedded one: set CEIBA_DB_URL before `ceiba run`. Then, once:

    export ODC_DEFAULT_DB_URL=$CEIBA_DB_URL DATACUBE_OWS_CFG=$PWD/ows.json
    datacube-ows-update --schema && datacube-ows-update
    gunicorn --workers 2 datacube_ows.wsgi

Write the file again and run `datacube-ows-update` whenever there are new years.
"""

import argparse
import json
from pathlib import Path

from ceiba.react2eo.layers import take_snapshot
from ceiba.react2eo.maps.ows_configuration import make_configuration


def main(arguments: list[str] | None = None) -> None:
    """Read the options and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="file to write")
    parser.add_argument("--url", required=True, help="address at which people will reach datacube-ows")
    options = parser.parse_args(arguments)
    configuration = make_configuration(take_snapshot(), url=options.url)
    options.target.write_text(json.dumps(configuration, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"wrote {options.target}")


if __name__ == "__main__":
    main()
