"""What is built and kept: corpora, tokenizers, training, evaluation, the file format, finding by name."""
