"""Reads with KurrentDB's own Python client: every event of one stream, and of the whole log, as lines of JSON."""

import base64
import json
import sys

from kurrentdbclient import KurrentDBClient


def told(source, event):
    text = lambda data: base64.b64encode(data).decode()
    return json.dumps(
        {
            "source": source,
            "stream": event.stream_name,
            "revision": event.stream_position,
            "position": event.commit_position,
            "id": str(event.id),
            "type": event.type,
            "contentType": event.content_type,
            "data": text(event.data),
            "metadata": text(event.metadata),
            "hasTime": event.recorded_at is not None,
        }
    )


url, stream = sys.argv[1:]
with KurrentDBClient(url) as client:
    for event in client.get_stream(stream):
        print(told("stream", event))
    for event in client.read_all():
        print(told("all", event))
