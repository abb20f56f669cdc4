"""The Transformer: what a state may attend to, and that chunks make no difference to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rim_core.datasets.log import SECOND
from rim_core.datasets.split import Split, split_by_time
from rim_core.datasets.states import UserStates
from rim_core.errors import ModelError
from rim_core.models import Model, Transformer
from rim_core.models.base import silent
from rim_core.models.preference.lessons import NextEvents
from rim_core.models.preference.sequence import SequencePreference
from rim_core.models.preference.sequences import Sequences
from rim_core.models.preference.trainer import Trainer
from rim_core.models.preference.transformer import TransformerNetwork
from tests.models.logs import ITEMS, baskets, cycle


@pytest.fixture(scope="module")
def split() -> Split:
    return split_by_time(baskets(), horizon="7D")


def small(**settings: Any) -> Transformer:
    default = {"dim": 16, "heads": 2, "max_epochs": 2, "chunk": 16, "batch_tokens": 200, "dropout": 0.0}
    return Transformer(**{**default, **settings})


def network(memory: int = 1000) -> TransformerNetwork:
    torch.manual_seed(0)
    return TransformerNetwork(ITEMS, 16, 2, 2, 0.0, memory).eval()


def read(net: TransformerNetwork, tokens: torch.Tensor, chunk: int) -> torch.Tensor:
    parts, carry = [], None
    for piece in tokens.split(chunk, dim=1):
        hidden, carry = net.encode(piece, torch.full_like(piece, 7), carry)
        parts.append(hidden)
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("chunk", [1, 4, 13])
def test_reading_in_chunks_is_reading_at_once(chunk: int) -> None:
    tokens = torch.randint(ITEMS, (3, 40), generator=torch.Generator().manual_seed(1))
    net = network()
    torch.testing.assert_close(read(net, tokens, chunk), read(net, tokens, 40), rtol=1e-4, atol=1e-5)


def test_a_state_does_not_see_what_comes_later() -> None:
    tokens = torch.randint(ITEMS, (1, 30), generator=torch.Generator().manual_seed(2))
    other = tokens.clone()
    other[0, 20:] = (other[0, 20:] + 1) % ITEMS
    net = network()
    before, after = read(net, tokens, 30), read(net, other, 30)
    torch.testing.assert_close(before[0, :20], after[0, :20])
    assert not torch.allclose(before[0, 20:], after[0, 20:])


def test_only_the_last_events_are_carried_on() -> None:
    tokens = torch.randint(ITEMS, (1, 30), generator=torch.Generator().manual_seed(3))
    other = tokens.clone()
    other[0, :4] = (other[0, :4] + 1) % ITEMS
    net = network(memory=5)  # two layers reach 2 · 5 events back, across chunks of 5
    torch.testing.assert_close(read(net, tokens, 5)[0, 25:], read(net, other, 5)[0, 25:])


@pytest.mark.parametrize("kind", ["Transformer", "GRU"])
def test_the_last_state_alone_is_the_last_of_all(kind: str) -> None:
    model = Model.from_config({"model": kind, "dim": 16})
    assert isinstance(model, SequencePreference)
    net = model._build(ITEMS).eval()
    generator = torch.Generator().manual_seed(4)
    tokens, gap = torch.randint(ITEMS, (5, 12), generator=generator), torch.randint(40, (5, 12), generator=generator)
    place = torch.tensor([11, 3, 0, 7, 11])
    torch.nn.init.normal_(net.gate.weight)
    expected = net.encode(tokens, gap, None)[0][torch.arange(5), place]
    with torch.no_grad():  # of many tokens some work is done for items and not for tokens
        for read_last in (net.last, net.reader(1), net.reader(1_000_000)):
            torch.testing.assert_close(read_last(tokens, gap, place), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [5, 64])
def test_the_loss_is_that_of_every_event_seen_from_its_own_user_state(split: Split, chunk: int) -> None:
    model = small(chunk=chunk, max_history=10_000, max_epochs=1).fit(split)
    sequences = Sequences.of(split.train, split.train.column_of_item.astype(np.int64), len(split.items))
    rows = np.flatnonzero(sequences.lengths > 1)
    trainer = Trainer(model, split, sequences, rows, rows[:0], silent, None)
    assert model._network is not None
    trainer.network.load_state_dict(model._network.state_dict())
    trainer.held_out = sequences
    a, train = split.log.arrays, split.train
    events = np.concatenate([np.arange(i, j) for i, j in zip(train.start, train.stop, strict=True)])
    states = UserStates(split.log, a.user[events], a.time[events], SECOND, train.item_codes)
    p = model.preference(states).pairs(np.arange(len(events)), train.column_of_item[a.item[events]])
    assert trainer._held_out_loss() == pytest.approx(-np.log(p).mean(), rel=1e-5)


def test_one_by_one_an_event_is_predicted_from_the_one_before_it(split: Split) -> None:
    sequences = Sequences.of(split.train, split.train.column_of_item.astype(np.int64), len(split.items))
    rows = np.array([int(np.argmax(sequences.lengths))])
    where, inside = sequences.window(rows, 0, 12)
    places, targets = NextEvents(sequences, one_by_one=True).chunk(rows, where, inside)
    assert places.tolist() == list(range(1, 11))
    assert targets.of.tolist() == list(range(10))
    assert targets.item.tolist() == sequences.tokens[where[0, 1:11]].tolist()
    together, _ = NextEvents(sequences).chunk(rows, where, inside)
    assert len(together) < 10  # baskets


def test_a_chain_that_never_errs_is_learned() -> None:
    split = split_by_time(cycle(), horizon="7D")
    model = small(max_epochs=25, learning_rate=0.02).fit(split)
    p = model.preference(split.test).to_dense()
    following = (split.log.arrays.item[split.test.stop - 1] + 1) % ITEMS
    assert p[np.arange(len(p)), following].mean() > 0.9


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ModelError, match="multiple"):
        Transformer(dim=10, heads=4)
