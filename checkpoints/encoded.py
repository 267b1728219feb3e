"""The corpus of a run as tokens, in its two parts."""

from __future__ import annotations

from dataclasses import dataclass

from checkpoints.batches import Tokens, split_text
from checkpoints.corpus import Corpus
from checkpoints.large_corpus import LargeCorpus
from checkpoints.tokenizers import Tokenizer, make_tokenizer


@dataclass(frozen=True)
class Text:
    """The corpus as tokens: both parts, and the characters of the second."""

    tokenizer: Tokenizer
    train: Tokens
    validation: Tokens
    validation_characters: int


def corpus_tokenizer(corpus: Corpus | LargeCorpus, tokens: str, normalize: str, lowercase: bool) -> Tokenizer:
    """The tokenizer that ``--tokens``, ``--normalize`` and ``--lowercase`` name, made for a corpus."""
    if isinstance(corpus, LargeCorpus):
        return corpus.tokenizer(tokens, normalize, lowercase)
    return make_tokenizer(tokens, corpus.text, normalize, lowercase)


def encoded(corpus: Corpus | LargeCorpus, tokenizer: Tokenizer, fraction: float) -> Text:
    """Split a corpus, the last ``fraction`` of its characters for validation, and encode both parts."""
    if isinstance(corpus, LargeCorpus):
        tokens, characters = corpus.encoded(tokenizer, fraction)
        return Text(tokenizer, tokens.train, tokens.validation, characters)
    train, validation = split_text(corpus.text, fraction)
    return Text(tokenizer, tokenizer.encode_array(train), tokenizer.encode_array(validation), len(validation))
