"""Driver of kafka-python, for its releases 2.0 and 3."""

import sys
import threading
import time
import types

if sys.version_info >= (3, 12):
    # kafka-python 2.0.2 carries a `six` that Python 3.12 can no longer import parts of.
    import queue
    moves = types.ModuleType("kafka.vendor.six.moves")
    moves.range, moves.queue = range, queue
    sys.modules["kafka.vendor.six.moves"] = moves

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, __version__
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.structs import OffsetAndMetadata
from kafka.errors import TopicAlreadyExistsError

import driver

WAIT_S = 60
RELEASE = int(__version__.split(".")[0])


def produce(bootstrap, job):
    settings = {"enable_idempotence": job["idempotent"]} if RELEASE >= 3 else {"acks": "all"}
    codec = None if job["codec"] == "none" else job["codec"]
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, compression_type=codec, linger_ms=20, **settings
    )
    futures = [
        producer.send(
            job["topic"],
            key=record["key"],
            value=record["value"],
            partition=record["partition"],
            headers=record["headers"],
            timestamp_ms=record["timestamp"],
        )
        for record in job["records"]
    ]
    producer.flush(WAIT_S)
    sent = [future.get(WAIT_S) for future in futures]
    producer.close()
    return [[place.partition, place.offset] for place in sent]


def consume(bootstrap, job):
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        check_crcs=True,
    )
    indexes = range(job["partitions"])
    partitions = [TopicPartition(topic, index) for topic in job["topics"] for index in indexes]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    records = []
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        batches = consumer.poll(timeout_ms=WAIT_S * 1000)
        assert batches, "nothing more to read before the end"
        for batch in batches.values():
            records.extend(
                driver.pack_record(
                    record.topic, record.partition, record.offset, record.key, record.value,
                    record.headers, record.timestamp,
                )
                for record in batch
            )
    consumer.close()
    return records


def group(bootstrap, job):
    consumer = KafkaConsumer(
        job["topic"],
        bootstrap_servers=bootstrap,
        group_id=job["group"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6000,
        heartbeat_interval_ms=500,
    )
    # Release 3 tells the leader epoch of an offset as well.
    extra = (-1,) if len(OffsetAndMetadata._fields) == 3 else ()
    reader = driver.Reader(job)
    while not reader.done():
        for batch in consumer.poll(timeout_ms=500).values():
            for record in batch:
                nexts = reader.add(record.partition, record.offset)
                if nexts is not None:
                    consumer.commit({
                        TopicPartition(job["topic"], partition): OffsetAndMetadata(next, "", *extra)
                        for partition, next in nexts.items()
                    })
    consumer.close(autocommit=False)
    return reader.result()


def endure(bootstrap, job):
    """Writes numbers and reads them at the same time, whatever happens to brokers meanwhile."""
    count, seen = job["count"], []

    def read():
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="none"
        )
        partition = TopicPartition(job["topic"], 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        deadline = time.monotonic() + WAIT_S
        while len(seen) < count and time.monotonic() < deadline:
            for batch in consumer.poll(timeout_ms=1000).values():
                seen.extend([record.offset, record.value.decode()] for record in batch)
        consumer.close()

    reader = threading.Thread(target=read)
    reader.start()
    settings = {"enable_idempotence": True} if RELEASE >= 3 else {"acks": "all"}
    producer, futures = KafkaProducer(bootstrap_servers=bootstrap, **settings), []
    for number in range(count):
        futures.append(producer.send(job["topic"], b"%d" % number, partition=0))
        time.sleep(job["pace_ms"] / 1000)
    producer.flush(WAIT_S)
    for future in futures:
        future.get(WAIT_S)
    producer.close()
    reader.join()
    return seen


def quickstart(bootstrap, job):
    """The README's first lines, as a reader types them."""
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for _ in range(100):
        producer.send(job["topic"], b"some_message_bytes")
    producer.flush()
    consumer = KafkaConsumer(
        job["topic"],
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=WAIT_S * 1000,
    )
    seen = []
    for message in consumer:
        seen.append([message.offset, message.value.decode()])
        if len(seen) == 100:
            break
    return seen


def admin(bootstrap, job):
    client, topic = KafkaAdminClient(bootstrap_servers=bootstrap), job["topic"]
    seen = {}
    wanted = NewTopic(topic, 2, 1, topic_configs={"retention.ms": "123456"})
    client.create_topics([wanted])
    try:
        client.create_topics([NewTopic(topic, 2, 1)])
    except TopicAlreadyExistsError as error:
        seen["again"] = "TOPIC_ALREADY_EXISTS"
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    seen["partitions"] = driver.until(lambda: consumer.partitions_for_topic(topic) == {0, 1})
    client.create_partitions({topic: NewPartitions(4)})
    seen["more partitions"] = driver.until(
        lambda: len(client.describe_topics([topic])[0]["partitions"]) == 4
    )
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    seen["retention"] = configs(client.describe_configs([resource]), topic)["retention.ms"]
    seen["listed"] = driver.until(lambda: topic in client.list_topics())
    client.delete_topics([topic])
    seen["gone"] = driver.until(lambda: topic not in client.list_topics())
    return seen


def configs(answer, topic):
    """The topic's configs by name, from either release's shape of answer."""
    if isinstance(answer, dict):
        for named in answer.values():
            if topic in named:
                return {name: entry["value"] for name, entry in named[topic].items()}
        return {}
    entries = answer[0].resources[0][4]
    return {entry[0]: entry[1] for entry in entries}


driver.run({
    "produce": produce, "consume": consume, "quickstart": quickstart, "admin": admin,
    "group": group, "endure": endure,
})
