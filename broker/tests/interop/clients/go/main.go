// Driver of franz-go.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const wait = 60 * time.Second

type header struct {
	name  string
	value []byte
}

type record struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers"`
	Timestamp int64    `json:"timestamp"`
}

type job struct {
	Do         string   `json:"do"`
	Topic      string   `json:"topic"`
	Topics     []string `json:"topics"`
	Codec      string   `json:"codec"`
	Idempotent bool     `json:"idempotent"`
	Partitions int32    `json:"partitions"`
	Records    []record `json:"records"`
	Group      string   `json:"group"`
	Commit     int      `json:"commit"`
	Want       int      `json:"want"`
}

func (h *header) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&h.name, &h.value})
}

func (h header) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{h.name, h.value})
}

func main() {
	var request struct {
		Bootstrap string `json:"bootstrap"`
		Jobs      []job  `json:"jobs"`
	}
	check(json.NewDecoder(os.Stdin).Decode(&request))
	results := make([]any, 0, len(request.Jobs))
	for _, job := range request.Jobs {
		ctx, cancel := context.WithTimeout(context.Background(), 2*wait)
		switch job.Do {
		case "produce":
			results = append(results, produce(ctx, request.Bootstrap, job))
		case "consume":
			results = append(results, consume(ctx, request.Bootstrap, job))
		case "group":
			results = append(results, group(request.Bootstrap, job))
		case "admin":
			results = append(results, admin(ctx, request.Bootstrap, job.Topic))
		default:
			log.Fatalf("unknown job %q", job.Do)
		}
		cancel()
	}
	check(json.NewEncoder(os.Stdout).Encode(results))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func connect(bootstrap string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap), kgo.MetadataMinAge(10*time.Millisecond))...)
	check(err)
	return client
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	default:
		return kgo.NoCompression()
	}
}

func produce(ctx context.Context, bootstrap string, job job) any {
	options := []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec(job.Codec)),
		kgo.ProducerLinger(20 * time.Millisecond),
		kgo.RequiredAcks(kgo.AllISRAcks()),
	}
	if !job.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client := connect(bootstrap, options...)
	defer client.Close()
	places := make([][2]int64, len(job.Records))
	var lock sync.Mutex
	for index, record := range job.Records {
		message := &kgo.Record{
			Topic: job.Topic, Partition: record.Partition, Key: record.Key, Value: record.Value,
			Timestamp: time.UnixMilli(record.Timestamp),
		}
		for _, header := range record.Headers {
			message.Headers = append(message.Headers, kgo.RecordHeader{Key: header.name, Value: header.value})
		}
		client.Produce(ctx, message, func(sent *kgo.Record, err error) {
			check(err)
			lock.Lock()
			places[index] = [2]int64{int64(sent.Partition), sent.Offset}
			lock.Unlock()
		})
	}
	check(client.Flush(ctx))
	return places
}

func consume(ctx context.Context, bootstrap string, job job) any {
	assigned := make(map[string]map[int32]kgo.Offset)
	for _, topic := range job.Topics {
		assigned[topic] = make(map[int32]kgo.Offset)
		for partition := range job.Partitions {
			assigned[topic][partition] = kgo.NewOffset().AtStart()
		}
	}
	client := connect(bootstrap, kgo.ConsumePartitions(assigned))
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, job.Topics...)
	check(err)
	left := int64(0)
	ends.Each(func(end kadm.ListedOffset) { left += end.Offset })
	records := []record{}
	for left > int64(len(records)) {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(topic string, partition int32, err error) {
			log.Fatalf("fetching %s %d: %v", topic, partition, err)
		})
		fetches.EachRecord(func(message *kgo.Record) {
			read := record{
				Topic: message.Topic, Partition: message.Partition, Offset: message.Offset,
				Key: message.Key, Value: message.Value, Headers: []header{},
				Timestamp: message.Timestamp.UnixMilli(),
			}
			for _, h := range message.Headers {
				read.Headers = append(read.Headers, header{h.Key, h.Value})
			}
			records = append(records, read)
		})
	}
	return records
}

// group reads as a group's member. With commit, it commits after that many records and goes on
// reading; with want, it is done after that many, which it then commits.
func group(bootstrap string, job job) any {
	ctx := context.Background()
	client := connect(bootstrap, kgo.ConsumerGroup(job.Group), kgo.ConsumeTopics(job.Topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond))
	defer client.Close()
	seen := map[[2]int64]*kgo.Record{}
	for told := false; ; {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(topic string, partition int32, err error) {
			log.Fatalf("fetching %s %d: %v", topic, partition, err)
		})
		fetches.EachRecord(func(message *kgo.Record) {
			if told {
				return
			}
			seen[[2]int64{int64(message.Partition), message.Offset}] = message
			if told = len(seen) == job.Commit+job.Want; told {
				records := []*kgo.Record{}
				for _, message := range seen {
					records = append(records, message)
				}
				check(client.CommitRecords(ctx, records...))
			}
		})
		if told && job.Want > 0 {
			places := [][2]int64{}
			for place := range seen {
				places = append(places, place)
			}
			return places
		}
	}
}

// until tells whether the condition holds, now or soon: metadata may lag behind an answer, in the
// client's cache if not at the broker.
func until(ctx context.Context, condition func() bool) bool {
	deadline := time.Now().Add(wait / 2)
	for !condition() {
		if time.Now().After(deadline) || ctx.Err() != nil {
			return false
		}
	}
	return true
}

func admin(ctx context.Context, bootstrap, topic string) any {
	client := connect(bootstrap)
	defer client.Close()
	admin := kadm.NewClient(client)
	seen := map[string]any{}
	retention := "123456"
	created, err := admin.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &retention}, topic)
	check(err)
	seen["created"] = created.NumPartitions
	_, err = admin.CreateTopic(ctx, 2, 1, nil, topic)
	seen["again"] = err == kerr.TopicAlreadyExists
	_, err = admin.UpdatePartitions(ctx, 4, topic)
	check(err)
	seen["more partitions"] = until(ctx, func() bool {
		details, err := admin.ListTopics(ctx, topic)
		check(err)
		return len(details[topic].Partitions) == 4
	})
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	check(err)
	described, err := configs.On(topic, nil)
	check(err)
	for _, config := range described.Configs {
		if config.Key == "retention.ms" {
			seen["retention"] = config.MaybeValue()
		}
	}
	size := "2000"
	_, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &size}}, topic)
	check(err)
	for range 10 {
		check(client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr())
	}
	start, err := admin.ListStartOffsets(ctx, topic)
	check(err)
	end, err := admin.ListEndOffsets(ctx, topic)
	check(err)
	total := int64(0)
	end.Each(func(offset kadm.ListedOffset) { total += offset.Offset })
	seen["produced"] = total
	deleted, err := admin.DeleteRecords(ctx, end.Offsets())
	check(err)
	check(deleted.Error())
	start, err = admin.ListStartOffsets(ctx, topic)
	check(err)
	total = 0
	start.Each(func(offset kadm.ListedOffset) { total += offset.Offset })
	seen["deleted"] = total
	brokers, err := admin.ListBrokers(ctx)
	check(err)
	seen["nodes"] = len(brokers)
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	check(err)
	seen["log dirs"] = len(dirs)
	_, err = admin.DeleteTopic(ctx, topic)
	check(err)
	seen["gone"] = until(ctx, func() bool {
		details, err := admin.ListTopics(ctx)
		check(err)
		return !details.Has(topic)
	})
	return seen
}
