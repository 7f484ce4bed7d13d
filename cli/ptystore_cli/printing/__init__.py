"""What the verbs print on success: for people, or as one JSON object."""
