// A producer on librdkafka, for measuring brokers with a client that none of them wrote.
//
//   load BROKERS TOPIC PARTITIONS RECORD_SIZE WARMUP_SECONDS SECONDS
//
// Writes as fast as it can with acks=all and librdkafka's defaults. Prints one line of JSON: records
// acknowledged after the warm-up, over which time, and how many records the partitions hold in the
// end, which may not be fewer than were acknowledged.

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t acked, failed, measured;
static double measure_from, last_ack;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk, (void)opaque;
    if (message->err) {
        failed++;
        return;
    }
    acked++;
    // The clock is read for a few only: there may be millions in a second.
    if (measured > 0 || acked % 64 == 0) {
        if (measured % 64 == 0)
            last_ack = now();
        if (measured > 0 || last_ack >= measure_from)
            measured++;
    }
}

static void die(const char *what, const char *why) {
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
    char error[256];
    if (rd_kafka_conf_set(conf, key, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        die(key, error);
}

int main(int argc, char **argv) {
    if (argc != 7)
        die("usage", "load BROKERS TOPIC PARTITIONS RECORD_SIZE WARMUP_SECONDS SECONDS");
    const char *topic = argv[2];
    int partitions = atoi(argv[3]);
    size_t size = (size_t)atol(argv[4]);
    double warmup = atof(argv[5]), seconds = atof(argv[6]);
    if (partitions < 1 || size < 1 || size > 16u << 20 || seconds <= 0)
        die("usage", "a number is out of range");

    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[1]);
    set(conf, "acks", "all");
    set(conf, "queue.buffering.max.messages", "1000000");
    set(conf, "queue.buffering.max.kbytes", "131072");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!rk)
        die("rd_kafka_new", error);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    if (!rkt)
        die("rd_kafka_topic_new", rd_kafka_err2str(rd_kafka_last_error()));

    // Noise, so that nothing on the way can make it smaller.
    char *payload = malloc(size + (1 << 20));
    if (!payload)
        die("malloc", "no memory");
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < size + (1 << 20); i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        payload[i] = (char)state;
    }

    double begin = now(), end = begin + warmup + seconds;
    measure_from = begin + warmup;
    for (int64_t i = 0;; i++) {
        if (i % 256 == 0) {
            if (now() >= end)
                break;
            rd_kafka_poll(rk, 0);
        }
        char *value = payload + (size_t)(i * 61) % (1 << 20);
        while (rd_kafka_produce(rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, size, NULL, 0,
                                NULL) == -1) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                die("produce", rd_kafka_err2str(rd_kafka_last_error()));
            rd_kafka_poll(rk, 1);
        }
    }
    if (rd_kafka_flush(rk, 60000) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("flush", "records are still under way after 60 s");
    double elapsed = now() - measure_from;

    int64_t held = 0;
    for (int partition = 0; partition < partitions; partition++) {
        int64_t low, high;
        rd_kafka_resp_err_t code =
            rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, 10000);
        if (code)
            die("watermarks", rd_kafka_err2str(code));
        held += high - low;
    }
    printf("{\"acked\": %" PRId64 ", \"failed\": %" PRId64 ", \"measured\": %" PRId64
           ", \"seconds\": %.6f, \"held\": %" PRId64 "}\n",
           acked, failed, measured, elapsed, held);
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
    free(payload);
    return held < acked;
}
