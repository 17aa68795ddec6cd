"""Driver of aiokafka."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError

import driver

WAIT_S = 60


async def produce(bootstrap, job):
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if job["codec"] == "none" else job["codec"],
        enable_idempotence=job["idempotent"],
        acks="all",
        linger_ms=20,
    )
    await producer.start()
    try:
        futures = [
            await producer.send(
                job["topic"],
                key=record["key"],
                value=record["value"],
                partition=record["partition"],
                headers=record["headers"],
                timestamp_ms=record["timestamp"],
            )
            for record in job["records"]
        ]
        sent = await asyncio.gather(*futures)
    finally:
        await producer.stop()
    return [[place.partition, place.offset] for place in sent]


async def consume(bootstrap, job):
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        check_crcs=True,
    )
    await consumer.start()
    try:
        indexes = range(job["partitions"])
        partitions = [TopicPartition(topic, index) for topic in job["topics"] for index in indexes]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records = []
        while True:
            positions = [await consumer.position(partition) for partition in partitions]
            if all(at >= ends[partition] for at, partition in zip(positions, partitions)):
                return records
            batches = await consumer.getmany(timeout_ms=WAIT_S * 1000)
            assert batches, "nothing more to read before the end"
            for batch in batches.values():
                records.extend(
                    driver.pack_record(
                        record.topic, record.partition, record.offset, record.key,
                        record.value, record.headers, record.timestamp,
                    )
                    for record in batch
                )
    finally:
        await consumer.stop()


async def group(bootstrap, job):
    consumer = AIOKafkaConsumer(
        job["topic"],
        bootstrap_servers=bootstrap,
        group_id=job["group"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6000,
        heartbeat_interval_ms=500,
    )
    await consumer.start()
    reader = driver.Reader(job)
    try:
        while not reader.done():
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                for record in batch:
                    nexts = reader.add(record.partition, record.offset)
                    if nexts is not None:
                        await consumer.commit({
                            TopicPartition(job["topic"], partition): next
                            for partition, next in nexts.items()
                        })
    finally:
        await consumer.stop()
    return reader.result()


async def count(client, topic):
    return len((await client.describe_topics([topic]))[0]["partitions"])


async def exists(client, topic):
    return topic in await client.list_topics()


async def until(look, wanted):
    """Tells whether looking gives what is wanted, now or soon."""
    deadline = time.monotonic() + 30
    while await look() != wanted:
        if time.monotonic() > deadline:
            return False
    return True


async def admin(bootstrap, job):
    client, topic = AIOKafkaAdminClient(bootstrap_servers=bootstrap), job["topic"]
    seen = {}
    await client.start()
    try:
        wanted = NewTopic(topic, 2, 1, topic_configs={"retention.ms": "123456"})
        await client.create_topics([wanted])
        answer = await client.create_topics([NewTopic(topic, 2, 1)])
        seen["again"] = answer.topic_errors[0][1]
        described = await client.describe_topics([topic])
        seen["partitions"] = len(described[0]["partitions"])
        await client.create_partitions({topic: NewPartitions(4)})
        seen["more partitions"] = await until(lambda: count(client, topic), 4)
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        answers = await client.describe_configs([resource])
        entries = answers[0].resources[0][4]
        seen["retention"] = next(entry[1] for entry in entries if entry[0] == "retention.ms")
        await client.delete_topics([topic])
        seen["gone"] = await until(lambda: exists(client, topic), False)
    finally:
        await client.close()
    return seen


def blocking(handler):
    return lambda bootstrap, job: asyncio.run(handler(bootstrap, job))


driver.run({
    "produce": blocking(produce), "consume": blocking(consume), "admin": blocking(admin),
    "group": blocking(group),
})
