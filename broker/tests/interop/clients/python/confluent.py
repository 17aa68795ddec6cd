"""Driver of confluent-kafka (librdkafka)."""

import os
import threading
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

import driver

WAIT_S = 60


def produce(bootstrap, job):
    producer = Producer({
        "bootstrap.servers": bootstrap,
        "compression.type": job["codec"],
        "enable.idempotence": job["idempotent"],
        "batch.size": 1_000_000,
        "linger.ms": 20,
        "message.timeout.ms": WAIT_S * 1000,
        "queue.buffering.max.messages": 1_000_000,
    })
    places = [None] * len(job["records"])

    def delivered(index):
        def note(error, message):
            if error is None:
                places[index] = [message.partition(), message.offset()]
            else:
                places[index] = str(error)
        return note

    for index, record in enumerate(job["records"]):
        producer.produce(
            job["topic"],
            key=record["key"],
            value=record["value"],
            partition=record["partition"],
            headers=record["headers"] or None,
            timestamp=record["timestamp"],
            on_delivery=delivered(index),
        )
        producer.poll(0)
    left = producer.flush(WAIT_S)
    assert left == 0, f"{left} records not delivered"
    return places


def consume(bootstrap, job):
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "unused",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "check.crcs": True,
    })
    places = [(topic, index) for topic in job["topics"] for index in range(job["partitions"])]
    consumer.assign([TopicPartition(topic, index, 0) for topic, index in places])
    records, open_partitions = [], set(places)
    while open_partitions:
        message = consumer.poll(WAIT_S)
        assert message is not None, f"nothing more from partitions {open_partitions}"
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            open_partitions.discard((message.topic(), message.partition()))
            continue
        records.append(driver.pack_record(
            message.topic(), message.partition(), message.offset(), message.key(),
            message.value(), message.headers(), message.timestamp()[1],
        ))
    consumer.close()
    return records


def group(bootstrap, job):
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": job["group"],
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 500,
    })
    consumer.subscribe([job["topic"]])
    reader = driver.Reader(job)
    while not reader.done():
        message = consumer.poll(1)
        if message is None:
            continue
        assert message.error() is None, message.error()
        nexts = reader.add(message.partition(), message.offset())
        if nexts is not None:
            offsets = [TopicPartition(job["topic"], *place) for place in nexts.items()]
            consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()
    return reader.result()


def follow(bootstrap, job):
    """Reads as a member until the file "stop" is there, whatever happens to brokers meanwhile."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": job["group"],
        "partition.assignment.strategy": job["assignor"],
        "auto.offset.reset": "earliest",
        "auto.commit.interval.ms": job["commit_ms"],
        "session.timeout.ms": job["session_ms"],
        "heartbeat.interval.ms": job["commit_ms"],
    })
    consumer.subscribe([job["topic"]])
    places = []
    while not os.path.exists(job["stop"]):
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            places.append([message.partition(), message.offset()])
        # Anything else it deals with itself.
        assert message is None or message.error() is None or not message.error().fatal()
    consumer.close()
    return places


def endure(bootstrap, job):
    """Writes numbers and reads them at the same time, whatever happens to brokers meanwhile."""
    count, seen = job["count"], []

    def read():
        consumer = Consumer({
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        })
        consumer.assign([TopicPartition(job["topic"], 0, 0)])
        deadline = time.monotonic() + WAIT_S
        while len(seen) < count and time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None and message.error() is None:
                seen.append([message.offset(), message.value().decode()])
        consumer.close()

    reader = threading.Thread(target=read)
    reader.start()
    producer, failures = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True}), []
    for number in range(count):
        producer.produce(
            job["topic"],
            value=b"%d" % number,
            partition=0,
            on_delivery=lambda error, _: error is None or failures.append(str(error)),
        )
        producer.poll(job["pace_ms"] / 1000)
    left = producer.flush(WAIT_S)
    assert left == 0 and not failures, f"{left} not delivered, {failures}"
    reader.join()
    return seen


def wait(futures):
    return {key: future.result(WAIT_S) for key, future in futures.items()}


def count(client, topic):
    return len(client.list_topics(topic, WAIT_S).topics[topic].partitions)


def admin(bootstrap, job):
    client, topic = AdminClient({"bootstrap.servers": bootstrap}), job["topic"]
    seen = {}
    wait(client.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "123456"})]))
    try:
        wait(client.create_topics([NewTopic(topic, 2, 1)]))
    except Exception as error:
        seen["again"] = error.args[0].name()
    seen["partitions"] = driver.until(lambda: count(client, topic) == 2)
    wait(client.create_partitions([NewPartitions(topic, 4)]))
    seen["more partitions"] = driver.until(lambda: count(client, topic) == 4)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    configs = wait(client.describe_configs([resource]))[resource]
    seen["retention"] = configs["retention.ms"].value
    change = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    wait(client.incremental_alter_configs([changed]))
    seen["max message"] = driver.until(
        lambda: wait(client.describe_configs([resource]))[resource]["max.message.bytes"].value
        == "2000"
    )
    producer = Producer({"bootstrap.servers": bootstrap})
    for index in range(10):
        producer.produce(topic, b"%d" % index, partition=0)
    producer.flush(WAIT_S)
    partition = TopicPartition(topic, 0)
    wait(client.delete_records([TopicPartition(topic, 0, 4)]))
    seen["offsets"] = [
        next(iter(wait(client.list_offsets({partition: spec})).values())).offset
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
    ]
    seen["nodes"] = len(client.describe_cluster().result(WAIT_S).nodes)
    wait(client.delete_topics([topic]))
    seen["gone"] = driver.until(lambda: topic not in client.list_topics(timeout=WAIT_S).topics)
    return seen


driver.run({
    "produce": produce,
    "consume": consume,
    "endure": endure,
    "follow": follow,
    "group": group,
    "admin": admin,
})
