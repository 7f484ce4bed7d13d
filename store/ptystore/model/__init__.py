"""What a scan is: fields, metadata, the contract and its rules. Nothing here opens a file."""
