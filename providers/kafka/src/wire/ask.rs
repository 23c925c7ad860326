//! The requests that are made, each with its key and its answer.

use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, CreateAclsRequest, CreateAclsResponse, CreatePartitionsRequest,
    CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteAclsRequest, DeleteAclsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeAclsRequest, DescribeAclsResponse, DescribeClusterRequest,
    DescribeClusterResponse, DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, ListGroupsRequest, ListGroupsResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, MetadataRequest, MetadataResponse,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message};

/// A request that this client makes.
pub(crate) trait Ask: Encodable + HeaderVersion + Message + Sync {
    /// Its key.
    const KEY: ApiKey;
    /// The lowest version that says all that it has to say.
    const LOWEST: i16;
    /// What answers it.
    type Answer: Decodable + HeaderVersion + Send;
}

macro_rules! asks {
    ($($request:ident => $answer:ident, $key:ident from $lowest:literal;)*) => {$(
        impl Ask for $request {
            const KEY: ApiKey = ApiKey::$key;
            const LOWEST: i16 = $lowest;
            type Answer = $answer;
        }
    )*};
}

asks! {
    ApiVersionsRequest => ApiVersionsResponse, ApiVersions from 0;
    SaslHandshakeRequest => SaslHandshakeResponse, SaslHandshake from 1;
    SaslAuthenticateRequest => SaslAuthenticateResponse, SaslAuthenticate from 0;
    // Earlier ones create the topics that they are asked for.
    MetadataRequest => MetadataResponse, Metadata from 4;
    // Earlier ones cannot leave the number of partitions and replicas to the broker.
    CreateTopicsRequest => CreateTopicsResponse, CreateTopics from 4;
    DeleteTopicsRequest => DeleteTopicsResponse, DeleteTopics from 1;
    CreatePartitionsRequest => CreatePartitionsResponse, CreatePartitions from 0;
    // Earlier ones do not tell where a value comes from.
    DescribeConfigsRequest => DescribeConfigsResponse, DescribeConfigs from 1;
    IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse, IncrementalAlterConfigs from 0;
    DescribeClusterRequest => DescribeClusterResponse, DescribeCluster from 0;
    // Earlier ones do not know patterns.
    DescribeAclsRequest => DescribeAclsResponse, DescribeAcls from 1;
    CreateAclsRequest => CreateAclsResponse, CreateAcls from 1;
    DeleteAclsRequest => DeleteAclsResponse, DeleteAcls from 1;
    ListOffsetsRequest => ListOffsetsResponse, ListOffsets from 1;
    ListGroupsRequest => ListGroupsResponse, ListGroups from 0;
    ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse, ListPartitionReassignments from 0;
}
