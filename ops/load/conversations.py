"""Starts conversations and prints their ids: python3 conversations.py URL COUNT, token in ADVISOR_TEST_TOKEN."""

import json
import os
import sys
import urllib.request

url, count = sys.argv[1], int(sys.argv[2])
headers = {"authorization": "Bearer " + os.environ["ADVISOR_TEST_TOKEN"], "content-type": "application/json"}
for _ in range(count):
    request = urllib.request.Request(url + "/api/commands/StartConversation", data=b"{}", headers=headers)
    print(json.load(urllib.request.urlopen(request))["result"]["conversationId"])
