//! Every kind of message there and back, and bytes that nobody packed.

use bytes::BytesMut;
use proptest::prelude::*;
use synod_paxos::{
    Accept, Accepted, Adopt, Ballot, Batch, Confirm, Confirmed, Copied, Decide, Entries, Heartbeat,
    Nack, NodeId, Prepare, Promise, Read, RoundStart,
};
use tokio_util::codec::Decoder;

use super::super::frame::FrameDecoder;
use super::super::{Incarnation, LinkedPeer, PartitionMessage};
use super::*;
use crate::limits::{PEER_HEADER_SIZE, REPLICA_MESSAGE_SIZE};

fn encode(messages: Vec<ControlMessage>) -> Vec<u8> {
    let mut packed = Vec::new();
    pack(&mut Sequence::new(7), messages, &mut packed);
    packed.iter().flat_map(|frame| frame.segments.concat()).collect()
}

fn decode(bytes: &[u8]) -> Result<Vec<ControlMessage>, FrameError> {
    let mut buffer = BytesMut::from(bytes);
    let (mut decoder, mut sequence) = (FrameDecoder::for_messages(), Sequence::new(7));
    let mut messages = Vec::new();
    while let Some(frame) = decoder.decode_eof(&mut buffer)? {
        messages.extend(unpack(&mut sequence, frame)?);
    }
    Ok(messages)
}

/// Payload comes back in one piece.
fn joined(mut message: ControlMessage) -> ControlMessage {
    if let ControlMessage::Partition(message) = &mut message {
        let whole = Bytes::from(message.payload.concat());
        message.payload = if whole.is_empty() { Vec::new() } else { vec![whole] };
    }
    message
}

fn ballot() -> impl Strategy<Value = Ballot> {
    (any::<u32>(), any::<u32>()).prop_map(|(round, node)| Ballot::new(round, NodeId(node)))
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let batch = (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>(), any::<u32>());
    let batch = batch.prop_map(|(base, end, round, size, checksum)| Batch {
        base,
        end,
        round,
        size,
        checksum,
    });
    prop::collection::vec(batch, 0..5)
}

fn rounds() -> impl Strategy<Value = Vec<RoundStart>> {
    let start = (any::<u32>(), any::<u64>()).prop_map(|(round, base)| RoundStart { round, base });
    prop::collection::vec(start, 0..5)
}

fn message() -> impl Strategy<Value = Message> {
    let ends = || (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    prop_oneof![
        (ballot(), ballot(), ends()).prop_map(|(ballot, accepted_ballot, (a, b, ..))| {
            Message::Prepare(Prepare { ballot, accepted_ballot, accepted_end: a, decided_end: b })
        }),
        (ballot(), ballot(), ends(), any::<Option<u64>>(), rounds()).prop_map(
            |(ballot, accepted_ballot, (a, b, c, _), faulty_end, rounds)| {
                Message::Promise(Promise {
                    ballot,
                    accepted_ballot,
                    log_start: a,
                    durable_end: b,
                    faulty_end,
                    decided_end: c,
                    rounds,
                })
            }
        ),
        (ballot(), ends()).prop_map(|(ballot, (from, end, ..))| Message::Read(Read {
            ballot,
            from,
            end
        })),
        (ballot(), any::<u64>(), batches()).prop_map(|(ballot, from, batches)| {
            Message::Entries(Entries { ballot, from, batches })
        }),
        (ballot(), ends(), any::<Option<u32>>(), any::<bool>(), batches()).prop_map(
            |(ballot, (a, b, c, d), prev_round, restart, batches)| Message::Adopt(Adopt {
                ballot,
                log_start: a,
                from: b,
                prev_round,
                restart,
                batches,
                adopted_end: c,
                decided_end: d,
            })
        ),
        (ballot(), any::<u64>()).prop_map(|(ballot, end)| Message::Copied(Copied { ballot, end })),
        (ballot(), any::<u64>(), batches(), any::<u64>()).prop_map(
            |(ballot, base, batches, decided_end)| {
                Message::Accept(Accept { ballot, base, batches, decided_end })
            }
        ),
        (ballot(), any::<u64>(), any::<Option<u64>>()).prop_map(|(ballot, durable_end, gap)| {
            Message::Accepted(Accepted { ballot, durable_end, gap })
        }),
        (ballot(), ends(), any::<bool>()).prop_map(|(ballot, (a, b, c, _), probe)| {
            Message::Decide(Decide { ballot, log_start: a, sent_end: b, decided_end: c, probe })
        }),
        (ballot(), ballot())
            .prop_map(|(ballot, promised)| Message::Nack(Nack { ballot, promised })),
        (ballot(), any::<u64>())
            .prop_map(|(ballot, number)| Message::Confirm(Confirm { ballot, number })),
        (ballot(), any::<u64>())
            .prop_map(|(ballot, number)| Message::Confirmed(Confirmed { ballot, number })),
    ]
}

fn bytes(limit: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..limit).prop_map(Bytes::from)
}

fn asked() -> impl Strategy<Value = LagAsked> {
    let any = any::<([u8; 16], u32, u64)>();
    any.prop_map(|(topic, partition, offset)| LagAsked { topic, partition, offset })
}

fn control_message() -> impl Strategy<Value = ControlMessage> {
    let heartbeat = (
        any::<u32>(),
        any::<bool>(),
        (prop::option::of(ballot()), prop::option::of(ballot())),
        prop::collection::vec(any::<u32>().prop_map(NodeId), 0..7),
        (any::<u64>(), any::<[u8; 16]>()),
        prop::collection::vec(any::<(u32, [u8; 16], u64)>(), 0..7),
        any::<u64>(),
    );
    prop_oneof![
        heartbeat.prop_map(|(round, quorum, (leads, follows), hears, incarnation, linked, end)| {
            let (start, random) = incarnation;
            ControlMessage::Heartbeat(BrokerHeartbeat {
                election: Heartbeat { round, quorum, leads, follows },
                hears,
                linked: linked
                    .into_iter()
                    .map(|(node, random, metadata_end)| LinkedPeer { node, random, metadata_end })
                    .collect(),
                incarnation: Incarnation { start, random },
                metadata_end: end,
            })
        }),
        (any::<[u8; 16]>(), any::<u32>(), message(), prop::collection::vec(bytes(40), 0..3))
            .prop_map(|(topic, partition, message, payload)| {
                let key = PartitionKey { topic, partition };
                ControlMessage::Partition(PartitionMessage { key, message, payload })
            }),
        (any::<u64>(), bytes(60)).prop_map(|(id, body)| ControlMessage::Request { id, body }),
        (any::<u64>(), bytes(60)).prop_map(|(id, body)| ControlMessage::Answer { id, body }),
        prop::collection::vec(asked(), 0..5).prop_map(ControlMessage::LagQuestion),
        prop::collection::vec((asked(), any::<(u64, u64, Option<i64>)>()), 0..5).prop_map(|told| {
            let told = told.into_iter().map(|(asked, (log_start, high_watermark, time_ms))| {
                LagTold { asked, log_start, high_watermark, time_ms }
            });
            ControlMessage::LagAnswer(told.collect())
        }),
    ]
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(
        messages in prop::collection::vec(control_message(), 0..6),
    ) {
        let expected: Vec<ControlMessage> = messages.iter().cloned().map(joined).collect();
        prop_assert_eq!(decode(&encode(messages)).expect("our own bytes"), expected);
    }

    /// The cost covers the form, so that bounds by cost are bounds by size.
    #[test]
    fn nothing_is_larger_than_its_cost(message in control_message()) {
        let cost = message.cost();
        prop_assert!(encode(vec![message]).len() <= cost);
    }

    /// Whatever happens to any byte, decoding ends: with the same messages (a byte of the payload
    /// changed, which has checksums of its own) or with an error, never with a panic.
    #[test]
    fn damage_is_an_error_or_in_the_payload(
        messages in prop::collection::vec(control_message(), 1..4),
        flip in 1..=255u8,
    ) {
        let whole = encode(messages);
        let head = 14 + u32::from_be_bytes(*whole[10..].first_chunk().expect("a prefix")) as usize;
        for position in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[position] ^= flip;
            prop_assert_eq!(decode(&damaged).is_err(), position < head, "byte {}", position);
            let is_cut = decode(&whole[..position]).is_err();
            prop_assert_eq!(is_cut, position > 0, "cut at {}", position);
        }
    }

    #[test]
    fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
        prop_assert!(decode(&bytes).is_err());
    }

    /// A right checksum over a senseless header: what a broken peer might send.
    #[test]
    fn senseless_headers_are_refused_or_read(
        header in prop::collection::vec(any::<u8>(), 0..200),
        payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let head = encode_head(Kind::Messages, payload.len(), |mut head| {
            head.extend_from_slice(&[7, 0]);
            head.extend_from_slice(&header);
            Ok(head)
        });
        let _ = decode(&[&head.expect("small")[..], &payload].concat());
    }
}

/// A message at the bounds of what the core sends: the smallest batches, and one huge.
#[test]
fn the_largest_message_fits_a_frame() {
    let config = synod_paxos::ReplicaConfig::new(NodeId(1));
    assert!(config.message_size <= REPLICA_MESSAGE_SIZE as u64);
    let batch = Batch {
        base: u64::MAX,
        end: u64::MAX,
        round: u32::MAX,
        size: u32::MAX,
        checksum: u32::MAX,
    };
    let ballot = Ballot::new(u32::MAX, NodeId(u32::MAX));
    let accept = |count| {
        let batches = vec![batch; count];
        let message = Message::Accept(Accept { ballot, base: 0, batches, decided_end: u64::MAX });
        let key = PartitionKey { topic: [9; 16], partition: u32::MAX };
        let payload = vec![Bytes::from_static(b"payload")];
        ControlMessage::Partition(PartitionMessage { key, message, payload })
    };
    // A batch of one empty record takes 68 bytes.
    let largest = accept(REPLICA_MESSAGE_SIZE / 68 + 1);
    assert_eq!(decode(&encode(vec![largest.clone()])).expect("fits"), vec![largest.clone()]);
    // Several of them travel in several frames, in order; what no frame holds is left out.
    let unsendable = accept(PEER_HEADER_SIZE / 30);
    let messages = vec![largest.clone(), largest.clone(), unsendable, accept(1), accept(0)];
    let expected = [largest.clone(), largest, accept(1), accept(0)];
    assert_eq!(decode(&encode(messages)).expect("the rest fits"), expected);
}

#[test]
fn frames_of_other_connections_and_repeated_ones_are_refused() {
    let message = ControlMessage::Request { id: 1, body: Bytes::new() };
    let frame = encode(vec![message]);
    let unpack_one = |sequence: &mut Sequence| {
        let frame = FrameDecoder::for_messages().decode(&mut BytesMut::from(&frame[..]));
        unpack(sequence, frame.expect("sound").expect("whole"))
    };
    let mut sequence = Sequence::new(7);
    unpack_one(&mut sequence).expect("the first");
    let error = unpack_one(&mut sequence).expect_err("the first again");
    assert!(matches!(error, FrameError::Sequence { found: 0, expected: 1 }));
    let error = unpack_one(&mut Sequence::new(8)).expect_err("recorded elsewhere");
    assert!(matches!(error, FrameError::Session));
}
