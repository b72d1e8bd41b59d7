"""Tokenizers and text encoders: CLIP's kinds, small, trained with the base from nothing."""

import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from recipes.mini.train.settings import Settings

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
MAX_LENGTH = 32
VOCABULARY = 2048
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def train_tokenizer(captions: list[str], folder: Path) -> CLIPTokenizer:
    """Train CLIP's byte-level BPE on captions and write `tokenizer.json` into `folder`.

    The vocabulary starts with all 256 bytes, within and at the end of a word, so every text has tokens.
    """
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.train_from_iterator(
        captions,
        trainers.BpeTrainer(vocab_size=VOCABULARY, end_of_word_suffix=WORD_END, min_frequency=2, show_progress=False),
    )
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = alphabet + [f"{symbol}{WORD_END}" for symbol in alphabet]
    tokens += dict.fromkeys("".join(merge) for merge in merges if "".join(merge) not in set(tokens))
    tokens += [BOS, EOS]
    trained = CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=merges,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=EOS,
        pad_token=EOS,
        model_max_length=MAX_LENGTH,
    )
    trained.save_pretrained(folder)
    return trained


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer written by `train_tokenizer`, padding with the end of text as CLIP does."""
    return CLIPTokenizer.from_pretrained(folder)


def build_text_encoders(
    settings: Settings, tokenizer: CLIPTokenizer
) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Two text encoders as in SDXL: the first with quick_gelu, the second with gelu and a projection."""
    shared = {
        "vocab_size": len(tokenizer),
        "hidden_size": settings.text_width,
        "intermediate_size": settings.text_width * 4,
        "num_hidden_layers": settings.text_layers,
        "num_attention_heads": settings.text_width // 32,
        "max_position_embeddings": MAX_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "projection_dim": settings.text_width,
    }
    first = CLIPTextModel(CLIPTextConfig(**shared, hidden_act="quick_gelu"))
    second = CLIPTextModelWithProjection(CLIPTextConfig(**shared, hidden_act="gelu"))
    return first, second


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids (N, MAX_LENGTH) int64, padded with the end of text."""
    batch = tokenizer(captions, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
    return batch.input_ids


def encode_text(
    first: CLIPTextModel, second: CLIPTextModelWithProjection, ids: Tensor, keep: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Condition exactly as diffusers' SDXL `encode_prompt` does.

    Args:
        first, second: the text encoders.
        ids: token ids (B, T).
        keep: (B,) of 0 and 1; where 0 the condition is all zeros, as SDXL's empty prompt is.

    Returns:
        Embeddings (B, T, 2 * width), both encoders' last but one hidden state; pooled embedding (B, width).
    """
    one = first(ids, output_hidden_states=True)
    two = second(ids, output_hidden_states=True)
    embeds, pooled = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1), two.text_embeds
    if keep is not None:
        embeds, pooled = embeds * keep[:, None, None].to(embeds), pooled * keep[:, None].to(pooled)
    return embeds, pooled
