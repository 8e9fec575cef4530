"""The demo: one story through MCP, A2A, MQTT and Kafka, told with stock client libraries over real sockets.

`agents` and `devices` act, `story` directs, `legs` judges, `tree` shows. Nothing here records or carries
a message: the verdict rests on what the runtime wrote into its journal. Above: `fabric demo`. Below:
`fabric.node` and the client library.
"""
