"""The command hms-svc, one file a command group."""
