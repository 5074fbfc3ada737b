from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError

from pipeline.models.captioners.generation import Generation, read, seed_of, seeded

END = 3


def test_only_what_is_stated_reaches_generate():
    kept = {"return_dict_in_generate": True, "output_logits": True}
    expected = {"num_beams": 3, "max_new_tokens": 40, "do_sample": False, **kept}
    assert Generation().arguments() == expected
    stated = Generation(do_sample=True, temperature=0.7, top_k=0, seed=4, prompt="a").arguments()
    expected |= {"do_sample": True, "temperature": 0.7, "top_k": 0, "remove_invalid_values": True}
    assert stated == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 0.5}, "`temperature` has no effect without `do_sample: true`"),
        ({"top_k": 5}, "`top_k` has no effect"),
        ({"num_beams": 1, "length_penalty": 2.0}, "`length_penalty` has no effect"),
        ({"temperature": 0.0, "do_sample": True}, "greater than 0"),
        ({"top_p": 1.5, "do_sample": True}, "less than or equal to 1"),
        ({"beams": 3}, "Extra inputs"),
    ],
)
def test_senseless_options_are_refused(options, said):
    with pytest.raises(ValidationError, match=said):
        Generation(**options)


def test_a_seed_belongs_to_an_image_and_a_run_of_the_dice():
    seeds = {seed_of(seed, image) for seed in (0, 1) for image in ("a", "b")}
    assert len(seeds) == 4
    assert seed_of(0, "a") == seed_of(0, "a") == 5690829181965289459
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeded_leaves_no_trace():
    device = torch.device("cpu")
    before = torch.get_rng_state()
    with seeded(5, device):
        first = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(5, device):
        assert torch.equal(torch.rand(3), first)


def test_greedy_output_is_read_up_to_the_end_token():
    logits = [torch.tensor([[0.0, 0, 0, 0], [0, 0, 0, 5.0]]), torch.zeros(2, 4)]
    sequences = torch.tensor([[9, 1, 2], [9, END, 0]])
    output = SimpleNamespace(sequences=sequences, logits=logits)
    tokens, chosen, counts, means = read(output, [END])
    assert tokens.tolist() == [[1, 2], [END, 0]]
    assert chosen.tolist() == [[True, True], [True, False]]
    assert counts == [2, 1]
    assert means == pytest.approx([-1.386294, -0.020011], abs=1e-5)


def test_beams_are_read_where_they_came_from():
    """Two beams of one image; the winner's second token came from the other beam."""
    logits = [torch.tensor([[4.0, 0], [9, 9]]), torch.tensor([[0.0, 0], [0, 2.0]])]
    output = SimpleNamespace(
        sequences=torch.tensor([[7, 0, 1]]), logits=logits, beam_indices=torch.tensor([[0, 1]])
    )
    *_, counts, means = read(output, [END])
    first = 4 - torch.tensor([4.0, 0]).logsumexp(0)
    second = 2 - torch.tensor([0.0, 2]).logsumexp(0)
    assert counts == [2]
    assert means == pytest.approx([float(first + second) / 2], abs=1e-6)


def test_where_no_beam_won_nothing_is_known():
    output = SimpleNamespace(
        sequences=torch.tensor([[7]]), logits=[], beam_indices=torch.empty(1, 0, dtype=torch.int32)
    )
    tokens, _, counts, means = read(output, [END])
    assert tokens.shape == (1, 0)
    assert counts == [0]
    assert means[0] != means[0]
