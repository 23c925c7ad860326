//! Buffer of an answer that checks item counts before the decoder sees them.
//!
//! The decoders of `kafka-protocol` allocate memory for as many items as a count announces before they read the first
//! one. A count has four bytes: the memory can be hundreds of gigabytes, and the failed allocation ends the process
//! without a message. So this buffer checks counts on their way to the decoder. In flexible versions, counts are
//! variable-length numbers, read byte by byte; only booleans are read the same way. In earlier versions, they are among
//! the 32-bit numbers.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::buf::ByteBuf;
use std::ops::Range;

/// Maximum number of items in an answer to the requests of this client.
const MAX_ITEMS: u64 = 1 << 20;
/// Tolerance: numbers of tagged fields are read like counts, and may exceed the remaining bytes.
const TAG_TOLERANCE: u64 = 64;

/// Encoding of the counts of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// 32-bit numbers.
    Fixed,
    /// Variable-length numbers.
    Compact,
}

/// The bytes of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    bytes: Bytes,
    counts: Counts,
    /// Value and length of the preceding bytes that may belong to the same variable-length number.
    partial: (u64, u32),
    /// The count that was refused.
    refused: Option<u64>,
}

impl Answer {
    pub(super) fn new(bytes: Bytes, counts: Counts) -> Self {
        Self { bytes, counts, partial: (0, 0), refused: None }
    }

    /// The error text of a refused count, if any.
    pub(super) fn refused(&self) -> Option<String> {
        let count = self.refused?;
        Some(format!("it announces {count} items, but only {} bytes follow", self.bytes.len()))
    }

    fn check_count(&mut self, count: u64) -> Result<(), TryGetError> {
        let left = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        let fits = match self.counts {
            // These include numbers that are not counts, such as broker ids.
            Counts::Fixed => count <= MAX_ITEMS.max(left),
            Counts::Compact => count <= MAX_ITEMS && count <= left.saturating_add(TAG_TOLERANCE),
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
        self.partial = (0, 0);
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        // A boolean may look like the first byte of the next number, which only makes that number greater.
        let (before, length) = self.partial;
        let value = before | u64::from(byte & 0x7f).checked_shl(length.saturating_mul(7)).unwrap_or(u64::MAX);
        let is_continued = byte >= 0x80;
        self.partial = if is_continued { (value, length.saturating_add(1)) } else { (0, 0) };
        // Three continued bytes announce more than fits.
        match self.counts {
            Counts::Fixed => Ok(byte),
            Counts::Compact if is_continued && length >= 2 => self.check_count(u64::MAX).map(|()| byte),
            Counts::Compact if is_continued => Ok(byte),
            Counts::Compact => self.check_count(value.saturating_sub(1)).map(|()| byte),
        }
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.partial = (0, 0);
        let number = self.bytes.try_get_i32()?;
        if self.counts == Counts::Fixed {
            self.check_count(u64::try_from(number).unwrap_or_default())?;
        }
        Ok(number)
    }
}

impl ByteBuf for Answer {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.bytes.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.partial = (0, 0);
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

    /// Decodes bytes; the error has the text of a refused count.
    fn decoded<T: Decodable>(bytes: &[u8], version: i16, counts: Counts) -> Result<T, Option<String>> {
        let mut answer = Answer::new(Bytes::copy_from_slice(bytes), counts);
        T::decode(&mut answer, version).map_err(|_| answer.refused())
    }

    /// A count of 4,294,967,294 items without any item.
    const MANY: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x0f];

    #[test]
    fn count_beyond_remaining_bytes_is_refused() {
        let is_refused = |answer: Option<String>| answer.is_some_and(|reason| reason.contains("items, but only"));
        // Throttle time; then the count of topics, brokers or entries.
        let mut compact = vec![0, 0, 0, 0];
        compact.extend(MANY);
        assert!(is_refused(decoded::<CreateTopicsResponse>(&compact, 7, Counts::Compact).unwrap_err()));
        assert!(is_refused(decoded::<MetadataResponse>(&compact, 12, Counts::Compact).unwrap_err()));
        assert!(is_refused(
            decoded::<DescribeAclsResponse>(&[&[0; 6], &[1][..], &MANY].concat(), 3, Counts::Compact).unwrap_err()
        ));
        // An error code and then the count of versions, in both encodings.
        assert!(is_refused(
            decoded::<ApiVersionsResponse>(&[&[0, 0][..], &MANY].concat(), 3, Counts::Compact).unwrap_err()
        ));
        let fixed = [0, 0, 0x7f, 0xff, 0xff, 0xff];
        assert!(is_refused(decoded::<ApiVersionsResponse>(&fixed, 0, Counts::Fixed).unwrap_err()));
        assert!(is_refused(decoded::<SaslHandshakeResponse>(&fixed, 1, Counts::Fixed).unwrap_err()));
        // Fits in a number of three bytes, but exceeds the remaining bytes.
        let mut some = vec![0, 0, 0, 0, 0xff, 0xff, 0x3f];
        some.extend([0; 100]);
        assert!(is_refused(decoded::<MetadataResponse>(&some, 12, Counts::Compact).unwrap_err()));
    }

    /// An invalid boolean before a count: the decoder reads its first byte as `true`, and the rest as the count.
    #[test]
    fn count_after_a_boolean_is_checked() {
        for boolean in [0x00, 0x01, 0x80, 0xff] {
            let bytes = [&[boolean][..], &MANY].concat();
            let mut answer = Answer::new(Bytes::from(bytes), Counts::Compact);
            let mut read = || (0..6).try_for_each(|_| answer.try_get_u8().map(|_| ()));
            assert!(read().is_err(), "{boolean}");
            let mut answer = Answer::new(Bytes::from(vec![boolean, 0xff, 0x7f]), Counts::Compact);
            let mut read = || (0..3).try_for_each(|_| answer.try_get_u8().map(|_| ()));
            assert!(read().is_err(), "{boolean}");
        }
    }

    /// Random bytes decode or return an error; the process never aborts.
    #[test]
    fn random_bytes_decode_or_fail() {
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
    fn valid_answer_is_decoded() {
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
        // The last field is tagged, and its number exceeds the remaining bytes.
        let mut tagged = vec![0, 0, 1, 0, 0, 0, 0];
        tagged.put_slice(&[1, 60, 0]);
        assert!(decoded::<ApiVersionsResponse>(&tagged, 3, Counts::Compact).is_ok());
    }
}
