"""`deeptrace replay`: history judged again, in a consumer group and on a topic of its own. Sending dead letters again is `streams.replaying`."""
