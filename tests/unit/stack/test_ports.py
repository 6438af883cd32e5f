import socket

from streams.stack.ports import free_ports, is_free


def test_a_listening_port_is_not_free() -> None:
    """A port that somebody serves on is seen as taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_a_port_is_free_right_after_its_server_closed_a_connection() -> None:
    """A connection in TIME_WAIT does not keep a restarted server from its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            client.recv(1)
    assert is_free(port)


def test_free_ports_are_different_and_below_the_ephemeral_range() -> None:
    """No outgoing connection can take the port of a server that is being restarted."""
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32_768
