"""What an administrator of a secured broker does: grant rights, and take them away."""

import shlex
from collections.abc import Iterable
from itertools import pairwise

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest_v1, DeleteAclsRequest_v1
from aiokafka.protocol.api import Request

RESOURCES = {"topic": 2, "group": 3, "cluster": 4}
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8}
LITERAL, PREFIXED, ALLOW, ANY_HOST = 3, 4, 3, "*"

Right = tuple[str, str, str]  # operation, kind, name; one that ends with * is a prefix


class _CreateAcls(Request[CreateAclsRequest_v1]):
    """aiokafka's own takes one right at a time."""

    API_KEY = 30

    def __init__(self, rows):
        self._rows = rows

    def build(self, request_struct_class):
        return request_struct_class(self._rows)


class _DeleteAcls(Request[DeleteAclsRequest_v1]):
    API_KEY = 31

    def __init__(self, rows):
        self._rows = rows

    def build(self, request_struct_class):
        return request_struct_class(self._rows)


def rights_in(commands: Iterable[str]) -> list[Right]:
    """Return the rights that kafka-acls commands grant, read from their options."""
    rights = []
    for command in commands:
        words = shlex.split(command)
        pairs = list(pairwise(words))
        operations = [value for option, value in pairs if option == "--operation"]
        resources = [(option[2:], value) for option, value in pairs if option in {"--topic", "--group"}]
        ending = "*" if ("--resource-pattern-type", "prefixed") in pairs else ""
        rights += [(operation, kind, name + ending) for operation in operations for kind, name in resources]
    return rights


async def grant(bootstrap_servers: str, principal: str, rights: Iterable[Right]) -> None:
    """Add ACLs for `principal`; on return they hold."""
    rows = [_row(principal, right) for right in rights]
    answer = await _send(bootstrap_servers, _CreateAcls(rows))
    assert [code for code, _ in answer.creation_responses] == [0] * len(rows)


async def revoke(bootstrap_servers: str, principal: str, rights: Iterable[Right]) -> None:
    """Remove ACLs of `principal`."""
    rows = [_row(principal, right) for right in rights]
    answer = await _send(bootstrap_servers, _DeleteAcls(rows))
    assert [(code, len(matched)) for code, _, matched in answer.filter_responses] == [(0, 1)] * len(rows)


def _row(principal: str, right: Right) -> tuple[int | str, ...]:
    operation, kind, name = right
    pattern = PREFIXED if name.endswith("*") else LITERAL
    return (RESOURCES[kind], name.rstrip("*"), pattern, principal, ANY_HOST, OPERATIONS[operation], ALLOW)


async def _send(bootstrap_servers: str, request: Request):
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
    try:
        await client.bootstrap()
        return await client.send(client.get_random_node(), request)
    finally:
        await client.close()
