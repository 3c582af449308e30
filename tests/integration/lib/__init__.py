"""What the integration and attack tests share: real daemons, a private PostgreSQL, a test PKI, an HTTP client."""
