"""The ports on one machine: stores in memory and files, the HTTP server and client, the demo services."""
