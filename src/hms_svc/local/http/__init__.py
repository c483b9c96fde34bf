"""HTTP/1.1 on sockets: the server that is the local door, and the client that calls private services."""
