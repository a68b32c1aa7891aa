"""Send photos to `levit serve` over one connection, and print their top labels.

python examples/serve_client.py 127.0.0.1:8000 examples/*.jpg
"""

import json
import sys
from http.client import HTTPConnection
from pathlib import Path

address, *photos = sys.argv[1:]
connection = HTTPConnection(address)
for photo in photos:
    connection.request("POST", "/predictions/default?top_k=1", Path(photo).read_bytes())
    prediction = json.load(connection.getresponse())
    for label in prediction.get("labels", []):
        print(f"{photo}: {label['name']} ({label['score']:.0%})")
    if prediction.get("error"):
        print(f"{photo}: {prediction['error']}")
