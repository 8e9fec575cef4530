"""CloudEvents 1.0: an Envelope is one; here it meets the forms in which others send and take events.

`structured` is the JSON event format, single events and batches; `bindings` maps events to the headers of
NATS, Kafka, MQTT and HTTP messages and back. Unaware of how those messages travel.
"""
