"""v1: the code generated from the .proto files of this folder."""
