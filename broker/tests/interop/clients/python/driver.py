"""The job loop that the Python drivers share: JSON in, JSON out, bytes as base64."""

import base64
import json
import sys
import time


def unpack(data):
    return None if data is None else base64.b64decode(data)


def pack(data):
    return None if data is None else base64.b64encode(data).decode("ascii")


def unpack_record(record):
    record["key"] = unpack(record["key"])
    record["value"] = unpack(record["value"])
    record["headers"] = [(name, unpack(value)) for name, value in record["headers"]]
    return record


def pack_record(topic, partition, offset, key, value, headers, timestamp):
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "key": pack(key),
        "value": pack(value),
        "headers": [[name, pack(header)] for name, header in headers or []],
        "timestamp": timestamp,
    }


def until(condition):
    """Tells whether the condition holds, now or soon: metadata may lag behind an answer."""
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
    return True


def run(handlers):
    """Does every job with `handlers[job["do"]](bootstrap, job)`."""
    request = json.load(sys.stdin)
    results = []
    for job in request["jobs"]:
        if "records" in job:
            job["records"] = [unpack_record(record) for record in job["records"]]
        results.append(handlers[job["do"]](request["bootstrap"], job))
    json.dump(results, sys.stdout)
