//! An answer as it is decoded: what it says of how many things follow is believed only as far as they can be there.
//!
//! The decoders of `kafka-protocol` make room for as many things as a count says before they look for the first of them. A
//! count is four bytes, room for so many things is some hundred gigabytes, and a process that is refused them ends without
//! a word. So counts are looked at here, on their way to the decoder: in flexible versions they are the variable-length
//! numbers, which are read byte by byte, and nothing else is read so but truth values; in earlier ones they are among the
//! 32-bit numbers.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::buf::ByteBuf;
use std::ops::Range;

/// More things of one kind are in no answer to what is asked here.
const MOST: u64 = 1 << 20;
/// The numbers of tagged fields are read as counts are, and may be greater than what is left.
const SLACK: u64 = 64;

/// How an answer writes its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// By 32-bit numbers.
    Fixed,
    /// By variable-length numbers.
    Compact,
}

/// The bytes of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    bytes: Bytes,
    counts: Counts,
    /// The bytes before, as far as they may belong to the same variable-length number, and how many they are.
    begun: (u64, u32),
    /// The count that nobody believes.
    refused: Option<u64>,
}

impl Answer {
    pub(super) fn new(bytes: Bytes, counts: Counts) -> Self {
        Self { bytes, counts, begun: (0, 0), refused: None }
    }

    /// What is wrong with a count, where one was not believed.
    pub(super) fn refused(&self) -> Option<String> {
        let count = self.refused?;
        Some(format!("it says that {count} things follow, and there are {} bytes left", self.bytes.len()))
    }

    fn believe(&mut self, count: u64) -> Result<(), TryGetError> {
        let left = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        let fits = match self.counts {
            // Among them are numbers that count nothing, such as ids of brokers.
            Counts::Fixed => count <= MOST.max(left),
            Counts::Compact => count <= MOST && count <= left.saturating_add(SLACK),
        };
        if fits {
            return Ok(());
        }
        self.refused = Some(count);
        Err(TryGetError { requested: usize::try_from(count).unwrap_or(usize::MAX), available: self.bytes.len() })
    }
}

impl Buf for Answer {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.begun = (0, 0);
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        // A truth value may look like the beginning of the number behind it, which makes that no smaller.
        let (before, length) = self.begun;
        let value = before | u64::from(byte & 0x7f).checked_shl(length.saturating_mul(7)).unwrap_or(u64::MAX);
        let goes_on = byte >= 0x80;
        self.begun = if goes_on { (value, length.saturating_add(1)) } else { (0, 0) };
        // Three bytes that go on are the beginning of more than fits, whatever comes.
        match self.counts {
            Counts::Fixed => Ok(byte),
            Counts::Compact if goes_on && length >= 2 => self.believe(u64::MAX).map(|()| byte),
            Counts::Compact if goes_on => Ok(byte),
            Counts::Compact => self.believe(value.saturating_sub(1)).map(|()| byte),
        }
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.begun = (0, 0);
        let number = self.bytes.try_get_i32()?;
        if self.counts == Counts::Fixed {
            self.believe(u64::try_from(number).unwrap_or_default())?;
        }
        Ok(number)
    }
}

impl ByteBuf for Answer {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.bytes.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.begun = (0, 0);
        self.bytes.get_bytes(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;
    use kafka_protocol::messages::{
        ApiVersionsResponse, CreateTopicsResponse, DescribeAclsResponse, MetadataResponse, SaslHandshakeResponse,
    };
    use kafka_protocol::protocol::{Decodable, Encodable};

    /// The answer with some bytes in its middle replaced by a count that is written so.
    fn decoded<T: Decodable>(bytes: &[u8], version: i16, counts: Counts) -> Result<T, Option<String>> {
        let mut answer = Answer::new(Bytes::copy_from_slice(bytes), counts);
        T::decode(&mut answer, version).map_err(|_| answer.refused())
    }

    /// 4,294,967,294 things and none of them.
    const MANY: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x0f];

    #[test]
    fn no_room_is_made_for_what_cannot_follow() {
        let told = |answer: Option<String>| answer.is_some_and(|told| told.contains("things follow"));
        // Throttle time; then topics, brokers, entries.
        let mut compact = vec![0, 0, 0, 0];
        compact.extend(MANY);
        assert!(told(decoded::<CreateTopicsResponse>(&compact, 7, Counts::Compact).unwrap_err()));
        assert!(told(decoded::<MetadataResponse>(&compact, 12, Counts::Compact).unwrap_err()));
        assert!(told(
            decoded::<DescribeAclsResponse>(&[&[0; 6], &[1][..], &MANY].concat(), 3, Counts::Compact).unwrap_err()
        ));
        // A code, and then versions: by both ways to count.
        assert!(told(decoded::<ApiVersionsResponse>(&[&[0, 0][..], &MANY].concat(), 3, Counts::Compact).unwrap_err()));
        let fixed = [0, 0, 0x7f, 0xff, 0xff, 0xff];
        assert!(told(decoded::<ApiVersionsResponse>(&fixed, 0, Counts::Fixed).unwrap_err()));
        assert!(told(decoded::<SaslHandshakeResponse>(&fixed, 1, Counts::Fixed).unwrap_err()));
        // Few enough for a number of three bytes, and more than there are bytes.
        let mut some = vec![0, 0, 0, 0, 0xff, 0xff, 0x3f];
        some.extend([0; 100]);
        assert!(told(decoded::<MetadataResponse>(&some, 12, Counts::Compact).unwrap_err()));
    }

    /// A truth value that is none, before a count: the decoder takes the first byte for `true`, and the rest for the count.
    #[test]
    fn no_count_hides_behind_a_truth_value() {
        for truth in [0x00, 0x01, 0x80, 0xff] {
            let bytes = [&[truth][..], &MANY].concat();
            let mut answer = Answer::new(Bytes::from(bytes), Counts::Compact);
            let mut read = || (0..6).try_for_each(|_| answer.try_get_u8().map(|_| ()));
            assert!(read().is_err(), "{truth}");
            let mut answer = Answer::new(Bytes::from(vec![truth, 0xff, 0x7f]), Counts::Compact);
            let mut read = || (0..3).try_for_each(|_| answer.try_get_u8().map(|_| ()));
            assert!(read().is_err(), "{truth}");
        }
    }

    /// Whatever bytes come: there is an answer or an error, and the process stays.
    #[test]
    fn any_bytes_are_an_answer_or_an_error() {
        let mut state: u64 = 7;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u8::try_from(state >> 56).unwrap()
        };
        for _ in 0..20_000 {
            let length = usize::from(random());
            let bytes: Vec<u8> = (0..length).map(|_| if random() < 96 { 0xff } else { random() }).collect();
            drop(decoded::<MetadataResponse>(&bytes, 12, Counts::Compact));
            drop(decoded::<MetadataResponse>(&bytes, 8, Counts::Fixed));
            drop(decoded::<CreateTopicsResponse>(&bytes, 7, Counts::Compact));
            drop(decoded::<ApiVersionsResponse>(&bytes, 3, Counts::Compact));
            drop(decoded::<DescribeAclsResponse>(&bytes, 1, Counts::Fixed));
        }
    }

    #[test]
    fn what_brokers_say_is_believed() {
        use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
        use kafka_protocol::protocol::StrBytes;
        let broker =
            MetadataResponseBroker::default().with_node_id(i32::MAX.into()).with_host(StrBytes::from("broker"));
        let topic = |at: usize| {
            let name = StrBytes::from(format!("topic-{at}"));
            MetadataResponseTopic::default()
                .with_name(Some(kafka_protocol::messages::TopicName(name)))
                .with_is_internal(true)
        };
        let metadata =
            MetadataResponse::default().with_brokers(vec![broker]).with_topics((0..5000).map(topic).collect());
        let mut bytes = bytes::BytesMut::new();
        metadata.encode(&mut bytes, 12).unwrap();
        let read: MetadataResponse = decoded(&bytes, 12, Counts::Compact).unwrap();
        assert_eq!(read, metadata);
        // The last field is a tagged one, whose number is greater than what is left.
        let mut tagged = vec![0, 0, 1, 0, 0, 0, 0];
        tagged.put_slice(&[1, 60, 0]);
        assert!(decoded::<ApiVersionsResponse>(&tagged, 3, Counts::Compact).is_ok());
    }
}
