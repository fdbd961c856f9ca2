"""engine: the playbook language. It knows no gRPC, no TLS and no database."""
