import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Exit;

/** Driver of Apache Kafka's Java client, and of its command-line classes within one virtual machine. */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration WAIT = Duration.ofSeconds(60);
    private final String bootstrap;

    private Driver(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    public static void main(String[] args) throws Exception {
        PrintStream stdout = System.out;
        JsonNode request = JSON.readTree(System.in);
        Driver driver = new Driver(request.get("bootstrap").asText());
        ArrayNode results = JSON.createArrayNode();
        for (JsonNode job : request.get("jobs")) {
            switch (job.get("do").asText()) {
                case "produce" -> results.add(driver.produce(job));
                case "consume" -> results.add(driver.consume(job));
                case "group" -> results.add(driver.group(job));
                case "endure" -> results.add(driver.endure(job));
                case "follow" -> results.add(driver.follow(job));
                case "admin" -> results.add(driver.admin(job.get("topic").asText()));
                case "tool" -> results.add(driver.tool(job));
                default -> throw new IllegalArgumentException("unknown job " + job.get("do"));
            }
        }
        stdout.print(JSON.writeValueAsString(results));
        stdout.flush();
        // Some tools leave threads behind.
        Runtime.getRuntime().halt(0);
    }

    private static byte[] bytes(JsonNode data) {
        return data.isNull() ? null : Base64.getDecoder().decode(data.asText());
    }

    private static String text(byte[] data) {
        return data == null ? null : Base64.getEncoder().encodeToString(data);
    }

    private static <T> T get(Future<T> future) throws Exception {
        return future.get(WAIT.toSeconds(), TimeUnit.SECONDS);
    }

    private ArrayNode produce(JsonNode job) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("compression.type", job.get("codec").asText());
        config.put("enable.idempotence", job.get("idempotent").asBoolean());
        config.put("linger.ms", 20);
        ArrayNode places = JSON.createArrayNode();
        ByteArraySerializer serializer = new ByteArraySerializer();
        try (var producer = new KafkaProducer<>(config, serializer, serializer)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode record : job.get("records")) {
                var message = new ProducerRecord<>(job.get("topic").asText(), record.get("partition").asInt(),
                    record.get("timestamp").asLong(), bytes(record.get("key")), bytes(record.get("value")));
                for (JsonNode header : record.get("headers")) {
                    message.headers().add(header.get(0).asText(), bytes(header.get(1)));
                }
                sent.add(producer.send(message));
            }
            producer.flush();
            for (Future<RecordMetadata> future : sent) {
                RecordMetadata place = get(future);
                places.add(JSON.createArrayNode().add(place.partition()).add(place.offset()));
            }
        }
        return places;
    }

    private ArrayNode consume(JsonNode job) {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", false,
            "auto.offset.reset", "none", "check.crcs", true);
        ArrayNode records = JSON.createArrayNode();
        ByteArrayDeserializer deserializer = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(config, deserializer, deserializer)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (JsonNode topic : job.get("topics")) {
                for (int index = 0; index < job.get("partitions").asInt(); index++) {
                    partitions.add(new TopicPartition(topic.asText(), index));
                }
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions, WAIT);
            while (partitions.stream().anyMatch(at -> consumer.position(at, WAIT) < ends.get(at))) {
                var batch = consumer.poll(WAIT);
                if (batch.isEmpty()) {
                    throw new IllegalStateException("nothing more to read before the end");
                }
                batch.forEach(record -> records.add(pack(record)));
            }
        }
        return records;
    }

    /**
     * Reads as a group's member. With "commit" in its job, it commits after that many records and goes on reading; with
     * "want", it is done after that many, which it then commits.
     */
    private ArrayNode group(JsonNode job) {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "group.id", job.get("group").asText(),
            "enable.auto.commit", false, "auto.offset.reset", "earliest", "session.timeout.ms", 6000,
            "heartbeat.interval.ms", 500);
        boolean leaves = job.has("want");
        int count = job.get(leaves ? "want" : "commit").asInt();
        ByteArrayDeserializer deserializer = new ByteArrayDeserializer();
        Map<TopicPartition, OffsetAndMetadata> nexts = new HashMap<>();
        Set<List<Long>> places = new HashSet<>();
        try (var consumer = new KafkaConsumer<>(config, deserializer, deserializer)) {
            consumer.subscribe(List.of(job.get("topic").asText()));
            for (boolean told = false; !(told && leaves);) {
                for (var record : consumer.poll(Duration.ofMillis(500))) {
                    if (told) {
                        continue;
                    }
                    places.add(List.of((long) record.partition(), record.offset()));
                    var at = new TopicPartition(record.topic(), record.partition());
                    nexts.put(at, new OffsetAndMetadata(record.offset() + 1));
                    told = places.size() == count;
                    if (told) {
                        consumer.commitSync(nexts);
                    }
                }
            }
        }
        ArrayNode result = JSON.createArrayNode();
        places.forEach(place -> result.add(JSON.createArrayNode().add(place.get(0)).add(place.get(1))));
        return result;
    }

    /** Reads as a member until the file "stop" is there, whatever happens to brokers meanwhile. */
    private ArrayNode follow(JsonNode job) {
        String assignor = switch (job.get("assignor").asText()) {
            case "range" -> RangeAssignor.class.getName();
            case "roundrobin" -> RoundRobinAssignor.class.getName();
            case "sticky" -> StickyAssignor.class.getName();
            case "cooperative-sticky" -> CooperativeStickyAssignor.class.getName();
            default -> throw new IllegalArgumentException("unknown assignor " + job.get("assignor"));
        };
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "group.id", job.get("group").asText(),
            "partition.assignment.strategy", assignor, "auto.offset.reset", "earliest",
            "auto.commit.interval.ms", job.get("commit_ms").asInt(), "session.timeout.ms", job.get("session_ms").asInt(),
            "heartbeat.interval.ms", job.get("commit_ms").asInt());
        File stop = new File(job.get("stop").asText());
        ArrayNode places = JSON.createArrayNode();
        ByteArrayDeserializer deserializer = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(config, deserializer, deserializer)) {
            consumer.subscribe(List.of(job.get("topic").asText()));
            while (!stop.exists()) {
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                    places.add(JSON.createArrayNode().add(record.partition()).add(record.offset()));
                }
            }
        }
        return places;
    }

    /** Writes numbers and reads them at the same time, whatever happens to brokers meanwhile. */
    private ArrayNode endure(JsonNode job) throws Exception {
        String topic = job.get("topic").asText();
        int count = job.get("count").asInt();
        ArrayNode seen = JSON.createArrayNode();
        Thread reader = new Thread(() -> {
            Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", false,
                "auto.offset.reset", "none");
            ByteArrayDeserializer deserializer = new ByteArrayDeserializer();
            try (var consumer = new KafkaConsumer<>(config, deserializer, deserializer)) {
                TopicPartition partition = new TopicPartition(topic, 0);
                consumer.assign(List.of(partition));
                consumer.seek(partition, 0);
                long deadline = System.nanoTime() + WAIT.toNanos();
                while (seen.size() < count && System.nanoTime() < deadline) {
                    consumer.poll(Duration.ofSeconds(1)).forEach(record ->
                        seen.add(JSON.createArrayNode().add(record.offset()).add(new String(record.value()))));
                }
            }
        });
        reader.start();
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap);
        ByteArraySerializer serializer = new ByteArraySerializer();
        try (var producer = new KafkaProducer<>(config, serializer, serializer)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int number = 0; number < count; number++) {
                byte[] value = Integer.toString(number).getBytes();
                sent.add(producer.send(new ProducerRecord<byte[], byte[]>(topic, 0, null, value)));
                Thread.sleep(job.get("pace_ms").asInt());
            }
            for (Future<RecordMetadata> future : sent) {
                get(future);
            }
        }
        reader.join();
        return seen;
    }

    private static ObjectNode pack(ConsumerRecord<byte[], byte[]> record) {
        ObjectNode packed = JSON.createObjectNode();
        packed.put("topic", record.topic()).put("partition", record.partition()).put("offset", record.offset());
        packed.put("key", text(record.key())).put("value", text(record.value()));
        packed.put("timestamp", record.timestamp());
        ArrayNode headers = packed.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(text(header.value()));
        }
        return packed;
    }

    private ObjectNode admin(String topic) throws Exception {
        ObjectNode seen = JSON.createObjectNode();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            NewTopic wanted = new NewTopic(topic, 2, (short) 1).configs(Map.of("retention.ms", "123456"));
            var created = admin.createTopics(Set.of(wanted));
            seen.put("created", get(created.numPartitions(topic)));
            seen.put("created retention", get(created.config(topic)).get("retention.ms").value());
            try {
                get(admin.createTopics(Set.of(wanted)).all());
            } catch (ExecutionException error) {
                seen.put("again", error.getCause() instanceof TopicExistsException);
            }
            get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all());
            var description = get(admin.describeTopics(Set.of(topic)).allTopicNames()).get(topic);
            seen.put("more partitions", description.partitions().size());
            seen.put("replicas", description.partitions().get(0).replicas().size());
            var byId = get(admin.describeTopics(
                org.apache.kafka.common.TopicCollection.ofTopicIds(Set.of(description.topicId()))).allTopicIds());
            seen.put("by id", byId.get(description.topicId()).name().equals(topic));
            configs(admin, topic, seen);
            records(admin, topic, seen);
            var cluster = admin.describeCluster();
            seen.put("nodes", get(cluster.nodes()).size()).put("cluster", !get(cluster.clusterId()).isEmpty());
            seen.put("log dirs", get(admin.describeLogDirs(List.of(1)).allDescriptions()).get(1).size());
            seen.put("reassignments", get(admin.listPartitionReassignments().reassignments()).size());
            get(admin.deleteTopics(Set.of(topic)).all());
            seen.put("gone", !get(admin.listTopics().names()).contains(topic));
        }
        return seen;
    }

    private void configs(Admin admin, String topic, ObjectNode seen) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var set = new AlterConfigOp(new ConfigEntry("max.message.bytes", "2000"), AlterConfigOp.OpType.SET);
        var delete = new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE);
        get(admin.incrementalAlterConfigs(Map.of(resource, List.of(set, delete))).all());
        var configs = get(admin.describeConfigs(Set.of(resource)).all()).get(resource);
        seen.put("max message", configs.get("max.message.bytes").value());
        seen.put("max message source", configs.get("max.message.bytes").source().name());
        seen.put("retention", configs.get("retention.ms").value());
        seen.put("retention default", configs.get("retention.ms").isDefault());
    }

    private void records(Admin admin, String topic, ObjectNode seen) throws Exception {
        var config = Map.<String, Object>of("bootstrap.servers", bootstrap);
        ByteArraySerializer serializer = new ByteArraySerializer();
        try (var producer = new KafkaProducer<>(config, serializer, serializer)) {
            for (long index = 0; index < 10; index++) {
                producer.send(new ProducerRecord<>(topic, 0, 1000 + index, null, new byte[] {1}));
            }
        }
        var partition = new TopicPartition(topic, 0);
        get(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4))).all());
        ArrayNode offsets = seen.putArray("offsets");
        for (OffsetSpec spec : List.of(OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.maxTimestamp(),
            OffsetSpec.forTimestamp(1007))) {
            offsets.add(get(admin.listOffsets(Map.of(partition, spec)).partitionResult(partition)).offset());
        }
    }

    /** Stands in for the end of the process. */
    private static final class Exited extends Error {
        Exited() {
            super("exit", null, false, false);
        }
    }

    /** Runs a command-line class as its script would, and tells its exit status and output. */
    private ObjectNode tool(JsonNode job) throws Exception {
        List<String> args = new ArrayList<>();
        job.get("args").forEach(arg -> args.add(arg.asText().replace("{bootstrap}", bootstrap)));
        var out = new ByteArrayOutputStream();
        var err = new ByteArrayOutputStream();
        PrintStream stdout = System.out;
        PrintStream stderr = System.err;
        System.setOut(new PrintStream(out, true));
        System.setErr(new PrintStream(err, true));
        System.setIn(new ByteArrayInputStream(job.path("stdin").asText("").getBytes("UTF-8")));
        // Some tools catch the error that stands for their end and exit once more: the first counts.
        List<Integer> exits = new ArrayList<>();
        Exit.setExitProcedure((status, message) -> {
            exits.add(status);
            throw new Exited();
        });
        // The console producer sends the last of its records from there.
        List<Runnable> hooks = new ArrayList<>();
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        try {
            Class.forName(job.get("class").asText()).getMethod("main", String[].class)
                .invoke(null, (Object) args.toArray(new String[0]));
        } catch (InvocationTargetException error) {
            if (!(error.getCause() instanceof Exited)) {
                exits.add(1);
                error.getCause().printStackTrace();
            }
        } finally {
            hooks.forEach(Runnable::run);
            System.out.flush();
            System.setOut(stdout);
            System.setErr(stderr);
            Exit.resetExitProcedure();
            Exit.resetShutdownHookAdder();
        }
        int status = exits.isEmpty() ? 0 : exits.get(0);
        return JSON.createObjectNode().put("status", status).put("out", utf8(out)).put("err", utf8(err));
    }

    private static String utf8(ByteArrayOutputStream bytes) throws IOException {
        return bytes.toString("UTF-8");
    }
}
