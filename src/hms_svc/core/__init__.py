"""What the gateway decides: no socket, no boto3, no clock, no randomness. Start reading in gateway.py."""
