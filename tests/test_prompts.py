import pytest
import torch

from layerfusion import LayerFusionError
from layerfusion.method import StreamLayout
from layerfusion.prompts import Encoded, Prompts, first_eos, repeat_to, stack_conditions
from tests.tiny import tiny_tokenizer


def test_the_first_end_of_text_is_found_whatever_pads():
    prompts = ["fox", "a red fox in a snowy forest", "a red fox " * 60]
    for pad in ("<|endoftext|>", "!"):
        tokenizer = tiny_tokenizer(pad)
        places = first_eos(tokenizer, prompts)
        alone = [len(tokenizer(prompt).input_ids) - 1 for prompt in prompts[:2]]
        assert places[:2].tolist() == alone
        assert places[2] == 76  # a prompt cut at 77 tokens still ends with one


def test_repeating_only_what_is_single():
    assert repeat_to(3, ["a"]) == ["a", "a", "a"] and repeat_to(2, ["a", "b"]) == ["a", "b"]
    assert repeat_to(2, None) is None
    assert torch.equal(repeat_to(2, torch.ones(1, 3)), torch.ones(2, 3))


@pytest.mark.parametrize("guidance", [True, False])
def test_conditions_lie_in_the_order_of_the_rows(guidance):
    layout = StreamLayout(batch=2, guidance=guidance)

    def encoded(value: float) -> Encoded:
        conditional = torch.full((2, 3, 4), value)
        return Encoded(conditional, -conditional, conditional[:, 0], -conditional[:, 0])

    streams = dict(zip(layout.names, map(encoded, (1.0, 2.0, 3.0)), strict=True))
    conditions = stack_conditions(layout, streams, torch.arange(6.0)[None], torch.tensor([3, 5]))
    for index, name in enumerate(layout.names, start=1):
        halves = layout.stream(conditions.prompt_embeds, name)[:, :, 0, 0]
        assert (halves[-1] == index).all() and (not guidance or (halves[0] == -index).all())
    assert torch.equal(conditions.add_text_embeds, conditions.prompt_embeds[:, 0])
    assert conditions.add_time_ids.shape == (layout.rows, 6)
    assert conditions.eos.tolist() == [3, 5]
    prior = conditions.rows(layout.conditional_foregrounds)
    assert prior.prompt_embeds.shape == (2, 3, 4) and (prior.prompt_embeds == 1).all()


def test_prompts_are_counted_and_checked():
    assert Prompts("foreground", ["a", "b"]).count == 2 and Prompts("foreground", "a").count == 1
    embeddings = Prompts("foreground", prompt_embeds=torch.zeros(3, 7, 4), pooled_prompt_embeds=torch.zeros(3, 4))
    embeddings.check()
    assert embeddings.count == 3
    for wrong in (
        Prompts("foreground", "x", prompt_embeds=torch.zeros(1)),
        Prompts("foreground"),
        Prompts("foreground", []),
        Prompts("foreground", prompt_embeds=torch.zeros(1)),
    ):
        with pytest.raises(LayerFusionError):
            wrong.check()
