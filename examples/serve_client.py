"""Send photos to `levit serve` over one connection, and print their top labels.

python examples/serve_client.py 127.0.0.1:8000 examples/*.jpg
"""

import argparse
import json
from http.client import HTTPConnection
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("address")
parser.add_argument("photos", nargs="+")
arguments = parser.parse_args()

connection = HTTPConnection(arguments.address)
for photo in arguments.photos:
    connection.request("POST", "/predictions/default?top_k=1", Path(photo).read_bytes())
    prediction = json.load(connection.getresponse())
    for label in prediction.get("labels", []):
        print(f"{photo}: {label['name']} ({label['score']:.0%})")
    if prediction.get("error"):
        print(f"{photo}: {prediction['error']}")
