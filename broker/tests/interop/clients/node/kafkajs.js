// Driver of kafkajs. Its consumers always join a group, so it has "group" and no "consume".
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

const codecs = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
}
const bytes = (data) => (data === null ? null : Buffer.from(data, 'base64'))

async function produce(kafka, job) {
  const producer = kafka.producer({ idempotent: job.idempotent, maxInFlightRequests: 1 })
  await producer.connect()
  const messages = job.records.map((record) => ({
    partition: record.partition,
    key: bytes(record.key),
    value: bytes(record.value),
    headers: Object.fromEntries(record.headers.map(([name, value]) => [name, bytes(value)])),
    timestamp: String(record.timestamp),
  }))
  const answer = await producer.send({
    topic: job.topic,
    acks: -1,
    compression: codecs[job.codec],
    messages,
  })
  await producer.disconnect()
  // kafkajs tells the first offset for each partition; the records follow it in order.
  const next = new Map(answer.map((part) => [part.partition, Number(part.baseOffset)]))
  return job.records.map((record) => {
    const offset = next.get(record.partition)
    next.set(record.partition, offset + 1)
    return [record.partition, offset]
  })
}

async function admin(kafka, job) {
  const client = kafka.admin()
  await client.connect()
  const topic = job.topic
  const seen = {}
  const wanted = {
    topic,
    numPartitions: 2,
    configEntries: [{ name: 'retention.ms', value: '123456' }],
  }
  seen.created = await client.createTopics({ topics: [wanted], waitForLeaders: true })
  seen['created again'] = await client.createTopics({ topics: [wanted] })
  const described = await client.fetchTopicMetadata({ topics: [topic] })
  seen.partitions = described.topics[0].partitions.length
  await client.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
  const more = await client.fetchTopicMetadata({ topics: [topic] })
  seen['more partitions'] = more.topics[0].partitions.length
  const resource = { type: 2, name: topic, configNames: ['retention.ms'] }
  const configs = await client.describeConfigs({ includeSynonyms: false, resources: [resource] })
  seen.retention = configs.resources[0].configEntries[0].configValue
  const entries = [{ name: 'max.message.bytes', value: '2000' }]
  await client.alterConfigs({ resources: [{ type: 2, name: topic, configEntries: entries }] })
  const producer = kafka.producer()
  await producer.connect()
  const messages = [...Array(10).keys()].map((n) => ({ partition: 0, value: String(n) }))
  await producer.send({ topic, messages })
  await producer.disconnect()
  await client.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] })
  const offsets = await client.fetchTopicOffsets(topic)
  const first = offsets.find((part) => part.partition === 0)
  seen.offsets = [Number(first.low), Number(first.high)]
  const cluster = await client.describeCluster()
  seen.nodes = cluster.brokers.length
  await client.deleteTopics({ topics: [topic] })
  seen.gone = !(await client.listTopics()).includes(topic)
  await client.disconnect()
  return seen
}

// With "commit" in its job, a member commits after that many records and goes on reading; with
// "want", it is done after that many, which it then commits.
async function group(kafka, job) {
  const consumer = kafka.consumer({
    groupId: job.group,
    sessionTimeout: 6000,
    heartbeatInterval: 500,
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [job.topic], fromBeginning: true })
  const places = new Map()
  const nexts = new Map()
  let finish
  const finished = new Promise((resolve) => { finish = resolve })
  let told = false
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message }) => {
      if (told) return
      const offset = Number(message.offset)
      places.set(`${partition}-${offset}`, [partition, offset])
      nexts.set(partition, Math.max(nexts.get(partition) ?? 0, offset + 1))
      if (places.size < (job.commit ?? job.want)) return
      told = true
      await consumer.commitOffsets(
        [...nexts].map(([partition, next]) => ({ topic, partition, offset: String(next) })),
      )
      if (job.want !== undefined) finish()
    },
  })
  await finished
  await consumer.disconnect()
  return [...places.values()]
}

async function main() {
  const chunks = []
  for await (const chunk of process.stdin) chunks.push(chunk)
  const request = JSON.parse(Buffer.concat(chunks).toString())
  const kafka = new Kafka({
    clientId: 'interop',
    brokers: [request.bootstrap],
    logLevel: logLevel.NOTHING,
  })
  const results = []
  for (const job of request.jobs) results.push(await { produce, admin, group }[job.do](kafka, job))
  process.stdout.write(JSON.stringify(results))
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
