//! A raw Kafka connection: frames in, frames out, nothing retried, every wait bounded.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use kafka_protocol::messages::{RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{Record, RecordBatchDecoder};

/// Bound on every wait for bytes. No test passes or fails by how long something takes within it.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer a test is willing to read, in bytes.
const ANSWER_SIZE_MAX: usize = 200 << 20;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    pub(crate) fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).expect("the broker takes connections");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(READ_TIMEOUT)).expect("a read timeout");
        stream.set_write_timeout(Some(READ_TIMEOUT)).expect("a write timeout");
        Connection { stream, correlation_id: 0 }
    }

    /// Sends a request and waits for its answer. An error means that the broker closed the
    /// connection or did not answer in time.
    pub(crate) fn try_call<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> io::Result<R::Response> {
        let id = self.send(version, request)?;
        let (answered, response) = self.receive::<R>(version)?;
        assert_eq!(answered, id, "correlation id of the answer");
        Ok(response)
    }

    /// As [`Connection::try_call`] where an answer must come.
    pub(crate) fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_call(version, request).expect("an answer")
    }

    /// Sends a request without waiting. Returns its correlation id.
    pub(crate) fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<i32> {
        self.correlation_id += 1;
        let frame = frame(self.correlation_id, version, request);
        self.send_bytes(&frame)?;
        Ok(self.correlation_id)
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one answer: its correlation id and body.
    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> io::Result<(i32, R::Response)> {
        let mut bytes = self.receive_frame()?;
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut bytes, header_version).expect("a response header");
        let response = R::Response::decode(&mut bytes, version).expect("a well-formed response");
        assert!(bytes.is_empty(), "{} bytes after the response", bytes.len());
        Ok((header.correlation_id, response))
    }

    /// Reads one frame without its length.
    pub(crate) fn receive_frame(&mut self) -> io::Result<Bytes> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = usize::try_from(i32::from_be_bytes(size)).expect("a size that is not negative");
        assert!(size <= ANSWER_SIZE_MAX, "an answer of {size} bytes");
        let mut body = vec![0; size];
        self.stream.read_exact(&mut body)?;
        Ok(Bytes::from(body))
    }

    /// True if the broker closes the connection without another byte.
    pub(crate) fn is_closed_silently(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Says that no more bytes will come.
    pub(crate) fn finish(&mut self) {
        // The broker may have closed the connection already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads and drops everything. True if the broker ended the connection in time.
    pub(crate) fn drain(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// Bounds how long a send may wait for the broker to read.
    pub(crate) fn limit_writes(&mut self, time: Duration) {
        self.stream.set_write_timeout(Some(time)).expect("a write timeout");
    }

    /// True if the broker neither sends a byte nor closes the connection for this long.
    pub(crate) fn stays_silent(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a read timeout");
        let mut byte = [0];
        let silent = match self.stream.read(&mut byte) {
            Ok(_) => false,
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
            }
        };
        self.stream.set_read_timeout(Some(READ_TIMEOUT)).expect("a read timeout");
        silent
    }
}

/// One request as a frame, its length first.
pub(crate) fn frame<R: Request>(correlation_id: i32, version: i16, request: &R) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("synod-test")));
    let mut body = BytesMut::new();
    header.encode(&mut body, R::header_version(version)).expect("an encodable header");
    if let Err(error) = request.encode(&mut body, version) {
        panic!("version {version} of request {} cannot be encoded: {error}", R::KEY);
    }
    framed(&body)
}

/// Any bytes as a frame.
pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    let size = i32::try_from(body.len()).expect("a frame below 2 GiB");
    [&size.to_be_bytes(), body].concat()
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic to create with one replica.
pub(crate) fn new_topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreatableTopic {
    let configs = configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    });
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.collect())
}

/// A request to create one such topic.
pub(crate) fn new_topic_request(
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> CreateTopicsRequest {
    CreateTopicsRequest::default()
        .with_topics(vec![new_topic(name, partitions, configs)])
        .with_timeout_ms(10_000)
}

/// Creates a topic with one replica; it must work.
pub(crate) fn create_topic(
    connection: &mut Connection,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) {
    let response = connection.call(5, &new_topic_request(name, partitions, configs));
    assert_eq!(response.topics[0].error_code, 0, "creating topic {name}");
    let deadline = Instant::now() + READ_TIMEOUT;
    for partition in 0..partitions {
        while !is_led(connection, name, partition) {
            assert!(Instant::now() < deadline, "{name}-{partition} has no leader");
        }
    }
}

/// A new topic may be known before its partitions have their leader.
fn is_led(connection: &mut Connection, topic: &str, partition: i32) -> bool {
    let response = connection.call(11, &fetch_request(topic, partition, 0, 0));
    response.responses[0].partitions[0].error_code == 0
}

/// A Produce request of one batch to one partition.
pub(crate) fn produce_request(
    topic: &str,
    partition: i32,
    acks: i16,
    records: Bytes,
) -> ProduceRequest {
    let partition =
        PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(topic_name(topic))
        .with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(10_000).with_topic_data(vec![topic])
}

/// A Fetch request (version 4 to 12) for one partition, outside any session.
pub(crate) fn fetch_request(
    topic: &str,
    partition: i32,
    offset: i64,
    wait_ms: i32,
) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let topic =
        FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// Reads a partition from `offset` to the high watermark it has now.
pub(crate) fn read_partition(
    connection: &mut Connection,
    topic: &str,
    partition: i32,
    mut offset: i64,
) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let response = connection.call(11, &fetch_request(topic, partition, offset, 0));
        let answer = &response.responses[0].partitions[0];
        assert_eq!(answer.error_code, 0, "fetching {topic}-{partition} at {offset}");
        let mut bytes = whole_batches(answer.records.clone().unwrap_or_default());
        if bytes.is_empty() {
            assert!(offset >= answer.high_watermark, "no records below the high watermark");
            return records;
        }
        let sets = RecordBatchDecoder::decode_all(&mut bytes).expect("well-formed batches");
        for record in sets.into_iter().flat_map(|set| set.records) {
            // A batch is handed out whole, so the first may begin before the asked offset.
            if record.offset >= offset {
                offset = record.offset + 1;
                records.push(record);
            }
        }
    }
}

/// Drops a last batch that the broker cut off, as a Kafka broker may.
fn whole_batches(bytes: Bytes) -> Bytes {
    let mut end = 0;
    while let Some(mut header) = bytes.get(end + 8..end + 12) {
        let size = end + 12 + usize::try_from(header.get_i32()).expect("a batch length");
        if size > bytes.len() {
            break;
        }
        end = size;
    }
    bytes.slice(..end)
}
