"""What a message costs in a conversation of 10,000 messages beside a fresh one; run it right after a start.

    python3 long_conversation.py URL LONG_CONVERSATION_ID     token of its owner in ADVISOR_TEST_TOKEN

The first message meets a server that knows nothing of the conversation (cold). After that both are sent to in turn.
Prints one line of JSON; times in milliseconds.
"""

import http.client
import json
import os
import statistics
import sys
import time
import urllib.parse

ROUNDS = 300

url, long = urllib.parse.urlparse(sys.argv[1]), sys.argv[2]
headers = {"authorization": "Bearer " + os.environ["ADVISOR_TEST_TOKEN"], "content-type": "application/json"}
connection = http.client.HTTPConnection(url.hostname, url.port)


def command(name, body):
    begun = time.perf_counter()
    connection.request("POST", "/api/commands/" + name, json.dumps(body), headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status != 200:
        sys.exit(f"{name}: {response.status} {answer}")
    return answer["result"], (time.perf_counter() - begun) * 1e3


def send(conversation):
    return command("SendMessage", {"conversationId": conversation, "content": "And then?", "advisorIds": []})[1]


fresh = command("StartConversation", {})[0]["conversationId"]
send(fresh)
cold = send(long)
times = {long: [], fresh: []}
for _ in range(ROUNDS):
    for conversation in times:
        times[conversation].append(send(conversation))
medians = {conversation: statistics.median(of) for conversation, of in times.items()}
print(json.dumps({
    "cold_ms": round(cold, 1),
    "long_p50_ms": round(medians[long], 2),
    "fresh_p50_ms": round(medians[fresh], 2),
    "ratio": round(medians[long] / medians[fresh], 2),
}))
