"""The GRU against what autograd and the definition of a user-state say."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rim_core.datasets.log import SECOND, EventLog
from rim_core.datasets.split import Split, split_by_time
from rim_core.datasets.states import UserStates
from rim_core.errors import ModelError
from rim_core.models import (
    GRU,
    RIM,
    Activity,
    HawkesPoisson,
    HorizonBlend,
    HorizonGRU,
    HorizonTransformer,
    Popularity,
    Preference,
    Transformer,
)
from rim_core.models.base import Progress, silent
from rim_core.models.preference import sequence, softmax
from rim_core.models.preference.lessons import NextEvents
from rim_core.models.preference.sequences import GAPS, Sequences, batches_by_length, gap_class
from rim_core.models.preference.softmax import Targets, negative_log_likelihood, sampled_softmax_loss, softmax_loss
from rim_core.models.preference.trainer import Trainer
from tests.models.logs import ITEMS, baskets, cycle


@pytest.fixture(scope="module")
def split() -> Split:
    return split_by_time(baskets(), horizon="7D")


def small(**settings: Any) -> GRU:
    return GRU(**{"dim": 16, "max_epochs": 2, "chunk": 16, "batch_tokens": 200, "dropout": 0.0, **settings})


def trainer_of(model: GRU, split: Split) -> Trainer:
    """A trainer with fresh weights, as ``fit`` makes it."""
    model.item_ids = split.items.to_numpy(dtype=object)
    sequences = Sequences.of(split.train, split.train.column_of_item.astype(np.int64), len(split.items))
    rows = np.flatnonzero(sequences.lengths > 1)
    return Trainer(model, split, sequences, rows, rows[:0], silent, None)


def gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {k: p.grad.clone() for k, p in trainer.network.named_parameters() if p.grad is not None}


# -- softmax ---------------------------------------------------------------------------------------------------


class Layer:
    """An output layer of 40 items, 600 states and 900 events to predict from them."""

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(0)
        self.h = torch.randn(600, 8, generator=g).requires_grad_()
        self.w = torch.randn(40, 8, generator=g).requires_grad_()
        self.b = torch.randn(40, generator=g).requires_grad_()
        of = torch.randint(600, (900,), generator=g).sort().values
        self.targets = Targets(of, torch.randint(40, (900,), generator=g))
        self.weight = torch.rand(900, generator=g)
        pair = torch.unique(torch.randint(600 * 40, (3000,), generator=g))
        pair = pair[~torch.isin(pair, of * 40 + self.targets.item)]
        self.hidden = (pair // 40, pair % 40)

    @property
    def parameters(self) -> tuple[torch.Tensor, ...]:
        return self.h, self.w, self.b


@pytest.fixture
def layer() -> Layer:
    return Layer()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("hidden", [False, True])
def test_the_loss_and_its_gradients_are_those_of_a_full_softmax(layer: Layer, weighted: bool, hidden: bool) -> None:
    targets = replace(layer.targets, weight=layer.weight if weighted else None, hidden=layer.hidden if hidden else None)
    ours = softmax_loss(*layer.parameters, targets)
    logits = layer.h @ layer.w.T + layer.b
    if hidden:
        logits = logits.index_put(layer.hidden, torch.tensor(-torch.inf))
    each = torch.nn.functional.cross_entropy(logits[targets.of], targets.item, reduction="none")
    theirs = (each * layer.weight).sum() if weighted else each.sum()
    assert targets.total == pytest.approx(float(layer.weight.sum()) if weighted else 900)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    assert negative_log_likelihood(*layer.parameters, targets) == pytest.approx(theirs.item(), rel=1e-6)
    ours_by = torch.autograd.grad(2 * ours, layer.parameters)
    for a, c in zip(ours_by, torch.autograd.grad(2 * theirs, layer.parameters), strict=True):
        torch.testing.assert_close(a, c, rtol=1e-4, atol=1e-4)


def test_a_state_from_which_everything_was_seen_is_no_trouble(layer: Layer) -> None:
    everything = (torch.zeros(40, dtype=torch.int64), torch.arange(40))
    targets = Targets(torch.tensor([1]), torch.tensor([3]), hidden=everything)
    loss = softmax_loss(layer.h[:2], layer.w, layer.b, targets)
    assert loss.item() == pytest.approx(negative_log_likelihood(layer.h[:2], layer.w, layer.b, targets), rel=1e-6)
    assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(loss, layer.parameters))


def test_fast_products_change_the_loss_by_less_than_a_thousandth(layer: Layer) -> None:
    exact = softmax_loss(*layer.parameters, layer.targets)
    fast = softmax_loss(*layer.parameters, layer.targets, torch.bfloat16)
    assert fast.item() == pytest.approx(exact.item(), rel=1e-3)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_sample_of_everything_is_the_full_softmax(layer: Layer, hidden: bool) -> None:
    targets = replace(layer.targets, hidden=layer.hidden if hidden else None)
    sampled = sampled_softmax_loss(*layer.parameters, targets, torch.ones(40), torch.Generator().manual_seed(1))
    assert sampled.item() == pytest.approx(softmax_loss(*layer.parameters, targets).item(), rel=1e-6)


def test_the_sampled_normaliser_is_unbiased(layer: Layer) -> None:
    h, w, b = layer.h[:1], layer.w, layer.b
    hidden = (torch.zeros(2, dtype=torch.int64), torch.tensor([5, 17]))
    targets = Targets(torch.zeros(1, dtype=torch.int64), torch.tensor([3]), hidden=hidden)
    generator, inclusion = torch.Generator().manual_seed(2), torch.linspace(0.2, 0.8, 40)
    logit = (h @ w.T + b)[0]
    normaliser = [
        (sampled_softmax_loss(h, w, b, targets, inclusion, generator) + logit[3]).exp().item() for _ in range(4000)
    ]
    exact = logit.exp().sum().item() - logit[[5, 17]].exp().sum().item()
    assert np.mean(normaliser) == pytest.approx(exact, abs=4 * np.std(normaliser) / np.sqrt(4000))
    assert np.std(normaliser) > 0.01 * exact


def test_a_sampled_training_learns_what_the_full_one_learns() -> None:
    split = split_by_time(cycle(items=40), horizon="7D")
    settings = {"max_epochs": 12, "learning_rate": 0.03, "batch_tokens": 32}
    full, sampled = small(**settings, negatives=0).fit(split), small(**settings, negatives=6).fit(split)
    assert full.fit_info["held_out_nll"] < 1.0  # chance is log 40 = 3.7
    assert sampled.fit_info["held_out_nll"] < full.fit_info["held_out_nll"] + 0.3
    assert sampled._weights()["item.weight"].tobytes() != full._weights()["item.weight"].tobytes()


# -- what is predicted from what ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 5, 64, 4096])
def test_the_loss_is_that_of_every_event_seen_from_its_own_user_state(split: Split, chunk: int) -> None:
    """−log p(y | s(t)) with s(t) the events before t: nothing of the same basket, whatever the chunks."""
    model = small(chunk=chunk, max_history=10_000, max_epochs=1).fit(split)
    trainer = trainer_of(model, split)
    assert model._network is not None
    trainer.network.load_state_dict(model._network.state_dict())
    trainer.held_out = trainer.sequences
    a, train = split.log.arrays, split.train
    events = np.concatenate([np.arange(i, j) for i, j in zip(train.start, train.stop, strict=True)])
    states = UserStates(split.log, a.user[events], a.time[events], SECOND, train.item_codes)
    p = model.preference(states).pairs(np.arange(len(events)), train.column_of_item[a.item[events]])
    assert trainer._held_out_loss() == pytest.approx(-np.log(p).mean(), rel=1e-5)


def test_the_order_within_a_basket_makes_no_difference_to_its_prediction(split: Split) -> None:
    trainer = trainer_of(small(), split)
    sequences, rows = trainer.sequences, trainer.teaching[:1]
    last = np.flatnonzero(sequences.instant == sequences.instant[sequences.offsets[rows[0] + 1] - 1])
    assert len(last) > 1
    swapped = sequences.tokens.copy()
    swapped[last] = swapped[last[::-1]]
    trainer.held_out = sequences.take(rows, 10_000)
    before = trainer._held_out_loss()
    trainer.held_out = replace(sequences, tokens=swapped).take(rows, 10_000)
    assert trainer._held_out_loss() == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_window_over_the_whole_sequence_gives_the_full_gradient(split: Split, layers: int) -> None:
    model = small(chunk=10_000, layers=layers, clip=1e9, weight_decay=0.0)
    trainer = trainer_of(model, split)
    trainer.dtype = torch.float32
    sequences, network = trainer.sequences, trainer.network
    rows = trainer.teaching[np.argsort(-sequences.lengths[trainer.teaching], kind="stable")][:5]
    total = torch.zeros(())
    for row in rows:  # the definition, one user at a time, with nothing but torch
        own = slice(sequences.offsets[row], sequences.offsets[row + 1])
        tokens, gap = torch.from_numpy(sequences.tokens[own])[None], torch.from_numpy(sequences.gap[own])[None]
        h = network.encode(tokens, gap, None)[0][0]
        source = torch.from_numpy(sequences.source[own] - own.start)[1:]
        logits = h[source] @ network.item.weight[:-1].T + network.bias
        total = total + torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="sum")
    torch.autograd.backward(total)
    full = gradients(trainer)
    trainer.optimiser.zero_grad()
    losses = [trainer._loss(h, targets) for h, targets in trainer._read(NextEvents(sequences), rows)]
    assert len(losses) == 1
    torch.autograd.backward(losses[0])
    assert losses[0].item() == pytest.approx(total.item(), rel=1e-5)
    for name, gradient in gradients(trainer).items():
        torch.testing.assert_close(gradient, full[name], rtol=1e-3, atol=1e-3)
    trainer.optimiser.zero_grad()
    model.chunk = 7  # truncated: the same loss, another gradient
    pieces = [trainer._loss(h, targets) for h, targets in trainer._read(NextEvents(sequences), rows) if len(targets)]
    assert len(pieces) > 3
    torch.autograd.backward(torch.stack(pieces).sum())
    assert sum(p.item() for p in pieces) == pytest.approx(total.item(), rel=1e-5)
    name = "gru.weight_hh_l0"
    assert not torch.allclose(gradients(trainer)[name], full[name], rtol=1e-2, atol=1e-3)


def test_output_and_input_share_one_table(split: Split) -> None:
    model = small().fit(split)
    assert model._network is not None
    shapes = [tuple(p.shape) for p in model._network.parameters()]
    assert shapes.count((len(split.items) + 1, 16)) == 1
    assert (len(split.items), 16) not in shapes
    scores = model.preference(split.test)
    table = model._network.item.weight.detach().numpy()[:-1]
    np.testing.assert_array_equal(scores.w[:, :16], table)
    h = model.encode(split.test)
    logits = h @ table.T + model._network.bias.detach().numpy()
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(scores.to_dense(), p / p.sum(axis=1, keepdims=True), rtol=1e-4)


def test_training_moves_both_uses_of_the_table(split: Split) -> None:
    trainer = trainer_of(small(), split)
    rows = trainer.teaching[:1]
    for h, targets in trainer._read(NextEvents(trainer.sequences), rows):
        torch.autograd.backward(trainer._loss(h, targets))
        break
    gradient = trainer.network.item.weight.grad
    assert gradient is not None
    assert (gradient[:-1].abs().sum(dim=1) > 0).all()  # as outputs, all of them
    assert gradient[-1].abs().sum() > 0  # the start token is an input only


def test_waiting_times_fall_into_classes() -> None:
    waiting = np.array([-5, 0, 1, SECOND, 2 * SECOND - 1, 2 * SECOND, 86_400 * SECOND, 10**18])
    assert gap_class(waiting).tolist() == [1, 1, 2, 2, 2, 3, 2 + 16, GAPS - 1]


def test_sequences_hold_the_visible_events_and_nothing_else() -> None:
    frame = pd.DataFrame(
        {
            "user_id": ["a"] * 5 + ["b"],
            "item_id": ["x", "y", "z", "x", "y", "z"],
            "timestamp": pd.to_datetime(
                ["2024-01-01", "2024-01-02", "2024-01-02", "2024-01-04", "2024-01-09", "2024-01-08"], utc=True
            ),
        }
    )
    log = EventLog.from_frame(frame)
    time = np.full(2, pd.Timestamp("2024-01-05").value // 1000)
    states = UserStates(log, np.arange(2, dtype=np.int32), time, SECOND, np.arange(3, dtype=np.int32))
    sequences = Sequences.of(states, np.array([0, -1, 2]), 3)  # y is not known
    assert sequences.tokens.tolist() == [3, 0, 2, 0, 3]
    assert sequences.offsets.tolist() == [0, 4, 5]
    day = 2 + 16
    assert sequences.gap.tolist() == [0, day, day + 1, day, 0]
    assert sequences.source[1:4].tolist() == [0, 1, 2]
    whole = Sequences.of(states, np.arange(3), 3)
    assert whole.tokens[:5].tolist() == [3, 0, 1, 2, 0]
    assert whole.source[1:5].tolist() == [0, 1, 1, 3]
    assert Sequences.of(states, np.arange(3), 3, last=2).tokens.tolist() == [3, 2, 0, 3]
    cut = whole.take(np.array([0]), 2)
    assert cut.tokens.tolist() == [3, 2, 0]
    assert cut.source[1:].tolist() == [0, 1]


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_hold_everyone_once_and_no_more_than_their_tokens(shuffle: bool) -> None:
    lengths = np.random.default_rng(0).integers(1, 300, 500)
    rng = np.random.default_rng(1) if shuffle else None
    batches = batches_by_length(lengths, 2048, 64, rng)
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    for rows in batches:
        assert (np.diff(lengths[rows]) <= 0).all()
        assert len(rows) == 1 or len(rows) * min(lengths[rows].max() * 0.75, 64) <= 2048


# -- training --------------------------------------------------------------------------------------------------


def test_a_chain_that_never_errs_is_learned() -> None:
    split = split_by_time(cycle(), horizon="7D")
    model = small(max_epochs=25, learning_rate=0.02).fit(split)
    p = model.preference(split.test).to_dense()
    a = split.log.arrays
    following = (a.item[split.test.stop - 1] + 1) % ITEMS
    assert p[np.arange(len(p)), following].mean() > 0.9


def test_training_stops_when_held_out_users_gain_no_more(split: Split) -> None:
    reports: list[Progress] = []
    model = small(max_epochs=60, learning_rate=0.03, patience=2, dim=32).fit(split, callback=reports.append)
    held_out = [loss for _, loss in model.fit_info["history"]]
    best = int(np.argmin(held_out))
    assert model.fit_info["epochs"] == len(held_out) == best + 3 < 60
    assert model.fit_info["held_out_nll"] == min(held_out)
    assert reports[-1].done == reports[-1].total
    shorter = small(max_epochs=60, learning_rate=0.03, patience=2, dim=32)
    assert model.fit_info["held_out_users"] == len(shorter._hold_out(trainer_of(shorter, split).sequences)[1])
    again = trainer_of(shorter, split)
    assert model._network is not None
    again.network.load_state_dict(model._network.state_dict())
    again.held_out = again.sequences.take(shorter._hold_out(again.sequences)[1], 256)
    assert again._held_out_loss() == pytest.approx(min(held_out), rel=1e-6)  # the weights kept are the best ones


def test_held_out_users_do_not_teach(split: Split) -> None:
    model = small(max_epochs=1)
    _, held_out = model._hold_out(trainer_of(model, split).sequences)
    ids = split.train.user_ids[held_out]
    frame = split.log.events.astype({"user_id": str, "item_id": str})
    chosen = frame["user_id"].isin(ids)
    frame.loc[chosen, "item_id"] = frame.loc[chosen, "item_id"].to_numpy()[::-1]
    other = split_by_time(EventLog.from_frame(frame), horizon="7D")
    assert not other.log.events.equals(split.log.events)
    one, two = model.fit(split)._weights(), small(max_epochs=1).fit(other)._weights()
    assert {k: w.tobytes() for k, w in one.items()} == {k: w.tobytes() for k, w in two.items()}


def test_no_held_out_users_is_possible(split: Split) -> None:
    model = small(held_out=0.0).fit(split)
    assert model.fit_info["held_out_nll"] is None
    assert model.fit_info["epochs"] == 2


def test_a_training_that_diverges_says_so(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "_loss", lambda self, h, targets: (h * torch.nan).sum())
    with pytest.raises(ModelError, match="learning_rate"):
        small().fit(split)


def test_nothing_to_learn_from_is_an_error(split: Split) -> None:
    frame = split.log.events.astype({"user_id": str, "item_id": str})
    frame["event_type"] = np.where(frame["timestamp"] < "2024-03-01", "click", "buy")
    log = EventLog.from_frame(frame)
    with pytest.raises(ModelError, match="target"):
        small().fit(split_by_time(log, horizon="3D", target_types=["buy"], start="2024-03-04"))


def test_a_checkpoint_that_is_damaged_is_left_aside(split: Split, tmp_path: Path) -> None:
    model = small().fit(split, checkpoint=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    again = small().fit(split, checkpoint=tmp_path)
    assert again._weights()["bias"].tobytes() == model._weights()["bias"].tobytes()


def test_bfloat16_is_used_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert softmax.fast_dtype(torch.device("cpu")) == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert softmax.fast_dtype(torch.device("cpu")) == torch.bfloat16


def test_long_histories_are_read_from_their_end(split: Split) -> None:
    model = small(max_history=3).fit(split)
    frame = split.log.events.astype({"user_id": str, "item_id": str})
    last = frame.groupby("user_id", group_keys=False).tail(60)
    fewer = EventLog.from_frame(last, items=split.log.items, users=split.log.users)
    assert len(fewer) < len(split.log)
    np.testing.assert_array_equal(model.encode(replace(split.test, log=fewer)), model.encode(split.test))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_scores_as_the_processor_does(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small().fit(split)
    on_cuda = model.score(split.test).to_dense()
    monkeypatch.setattr(sequence, "default_device", lambda: torch.device("cpu"))
    np.testing.assert_allclose(model.score(split.test).to_dense(), on_cuda, rtol=1e-2)


# -- products --------------------------------------------------------------------------------------------------


def test_a_product_is_the_intensity_times_the_preference(split: Split) -> None:
    model = RIM(small(), HawkesPoisson(kernels=6)).fit(split)
    expected = model.intensity.intensity(split.test)[:, None] * model.preference.preference(split.test).to_dense()
    np.testing.assert_allclose(model.score(split.test).to_dense(), expected, rtol=1e-5)
    np.testing.assert_allclose(
        model.score(split.test).to_dense().sum(axis=1), model.intensity.intensity(split.test), rtol=1e-4
    )
    assert model.name == "GRU×HawkesPoisson"


def test_products_share_a_preference_that_is_trained_once(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[GRU] = []
    fit = GRU._fit
    monkeypatch.setattr(GRU, "_fit", lambda self, *a: (trained.append(self), fit(self, *a))[1])
    gru = small()
    RIM(gru, Activity()).fit(split)
    RIM(gru, HawkesPoisson(kernels=5)).fit(split)
    assert trained == [gru]
    other = split_by_time(baskets(seed=1), horizon="7D")
    RIM(gru, Activity()).fit(other)
    assert trained == [gru, gru]


def test_parts_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(ModelError, match="intensity"):
        RIM(GRU(), GRU())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="preference"):
        RIM(Activity(), Activity())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="Popularity by"):
        Popularity("everything")  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [GRU, HorizonGRU, Transformer, HorizonTransformer, HorizonBlend])
def test_settings_that_no_training_could_work_with_are_all_named_before_it(make: type[Preference]) -> None:
    with pytest.raises(ModelError) as error:
        make(dim=-4, max_epochs=0, dropout=1.0, learning_rate=math.nan)
    for name in ("dim is -4", "max_epochs is 0", "dropout is 1.0", "learning_rate is nan"):
        assert name in str(error.value)
