"""The command line of ptystore: one short function a verb, over the library's front door."""
