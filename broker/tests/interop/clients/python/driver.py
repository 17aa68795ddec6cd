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


class Reader:
    """What a group's member has read and is to commit.

    With "commit" in its job, a member commits after that many records and goes on reading without
    another word; with "want", it is done after that many, which it then commits."""

    def __init__(self, job):
        self.places, self.job, self.told = {}, job, False

    def add(self, partition, offset):
        """Takes a record; tells what to commit now, if anything, as offsets by partition."""
        if self.told:
            return None
        self.places[(partition, offset)] = True
        if len(self.places) < self.job.get("commit", self.job.get("want")):
            return None
        self.told = True
        nexts = {}
        for partition, offset in self.places:
            nexts[partition] = max(nexts.get(partition, 0), offset + 1)
        return nexts

    def done(self):
        return self.told and "want" in self.job

    def result(self):
        return [list(place) for place in self.places]


def run(handlers):
    """Does every job with `handlers[job["do"]](bootstrap, job)`."""
    request = json.load(sys.stdin)
    results = []
    for job in request["jobs"]:
        if "records" in job:
            job["records"] = [unpack_record(record) for record in job["records"]]
        results.append(handlers[job["do"]](request["bootstrap"], job))
    json.dump(results, sys.stdout)
