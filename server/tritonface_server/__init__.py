"""The server's side: image decoding, NMS, Triton steps and backends, the repository builder, the launcher."""
