"""Two requests that aiokafka 0.14 cannot make: what is this client allowed to do on these topics, and in this group.

aiokafka knows Metadata up to version 5, which always lets a broker with auto-creation create what it names, and its DescribeGroups
version 3 reads the answer of version 2.
"""

from collections.abc import Iterable

from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

TEXT = String("utf-8")


class MetadataResponseV8(Response):  # type: ignore[misc]
    """The last version whose fields have fixed places; Kafka 2.3 and newer speak it."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT))),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class MetadataRequestV8(RequestStruct):  # type: ignore[misc]
    """Asks about topics by name, and creates none."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponseV8
    SCHEMA = Schema(
        ("topics", Array(TEXT)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class AllowedOnTopics(Request[MetadataRequestV8]):  # type: ignore[misc]
    """What is this client allowed to do on these topics?"""

    API_KEY = 3

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)

    def build(self, request_struct_class: type[MetadataRequestV8]) -> MetadataRequestV8:
        """Return the request."""
        return request_struct_class(self._names, False, False, True)


class DescribeGroupsRequestV3(RequestStruct):  # type: ignore[misc]
    """Asks about groups; only the coordinator of a group answers."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(TEXT)), ("include_authorized_operations", Boolean))


class AllowedOnGroup(Request[DescribeGroupsRequestV3]):  # type: ignore[misc]
    """What is this client allowed to do in this group?"""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[DescribeGroupsRequestV3]) -> DescribeGroupsRequestV3:
        """Return the request."""
        return request_struct_class([self._group], True)
