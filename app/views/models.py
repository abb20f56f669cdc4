"""Models: train them, watch them, compare them in both directions."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import services
from app.ui import charts, messages, model_charts, tables
from app.ui.tables import Column
from app.views import frame

STATE_ICONS = {
    "queued": ":material/schedule:",
    "running": ":material/sync:",
    "done": ":material/check_circle:",
    "failed": ":material/error:",
    "cancelled": ":material/cancel:",
    "interrupted": ":material/pause_circle:",
}


KINDS = {
    "affinity": "In one piece: expected interactions of a user with an item",
    "preference": "What a user will want next (multiply it with an intensity)",
    "intensity": "How active a user will be",
}
MEASURES = {"recall": "share found (recall)", "precision": "interactions per recommendation"}
"""Figures of the comparison by what they are, with their unit."""
ENDED = {"failed": "failed", "cancelled": "was cancelled", "interrupted": "was interrupted"}
BUSY, IDLE = 1.0, 5.0
"""Seconds between two looks at what is training."""
SHOWN = 3


def page() -> None:
    """Training on top, the comparison under it."""
    messages.title(
        "Models", "Train models on the chosen dataset, and see which ranks items for users and users for items."
    )
    info = frame.dataset()
    if info is None:
        messages.empty("No data yet", "Models learn from events: add a dataset first.", icon=":material/database:")
        st.page_link("views/data.py", label="Go to Data", icon=":material/arrow_forward:")
        return
    with messages.guard(services.Problem, "show the unfinished trainings"):
        _unfinished()
    train, watch = st.columns([2, 3], gap="large")
    with train, messages.guard(services.Problem, "start the training"):
        _train(info)
    with watch:
        st.subheader("Training now", anchor=False)
        st.fragment(_live, run_every=BUSY if services.active_jobs() else IDLE)(info.label)
    with messages.guard(services.Problem, "compare the models"):
        _compare(info)


def _train(info: services.DatasetInfo) -> None:
    """Choose models and start a job."""
    st.subheader("Train", anchor=False)
    choice = frame.split_choice(info)
    st.caption(f":material/date_range: {choice.describe()} · change it under Data → Training and test windows")
    offered = services.catalogue()
    with st.container(key="train"), st.form("train-form", border=True):
        names = st.multiselect(
            "Models",
            list(offered),
            default=services.proposed(offered),
            key="train-models",
            help="A product such as GRU×Hawkes multiplies what a user may like with how active the user will be.",
        )
        effort = st.segmented_control(
            "Effort",
            list(services.EFFORTS),
            default="brief",
            required=True,
            format_func=lambda e: services.EFFORTS[e].label,
            key="train-effort",
            help="Brief training shows the way; full training stops when held-out users are predicted no better.",
        )
        new_items = st.checkbox(
            "Score new items too",
            key="train-new-items",
            help="Items that nobody or few have had get the score of what resembles them in title and features, as far "
            "as past launches bore it out. Without it a promise for a new item goes to anybody.",
        )
        go = st.form_submit_button("Train", type="primary", icon=":material/play_arrow:", width="stretch")
    if go and not names:
        st.info("Choose at least one model.", icon=":material/arrow_upward:")
    elif go:
        job = services.train(info, choice, names, effort or "brief", new_items=new_items)
        waits = any(other.id != job.id for other in services.active_jobs())
        said = "waits for the training before it" if waits else "has started"
        st.toast(f"Training of {messages.plain(job.title)} {said}.", icon=STATE_ICONS["queued" if waits else "running"])
        st.rerun()
    with st.expander("What the models are", icon=":material/help:"):
        for kind, heading in KINDS.items():
            found = [o for o in offered.values() if o.kind == kind]
            if found:
                st.markdown(f"**{heading}**")
                st.markdown("\n".join(f"- **{o.name}**: {messages.plain(o.text)}" for o in found))


def _live(dataset: str) -> None:
    """Running and queued jobs of every dataset, or the last of this one; drawn again when one has ended."""
    with messages.guard(services.Problem, "show the running trainings"):
        jobs = services.jobs()
        now = {j.id: j.state for j in jobs}
        before = st.session_state.get("jobs-seen")
        st.session_state["jobs-seen"] = now
        if before is not None and any(before.get(i) != s for i, s in now.items() if s not in ("queued", "running")):
            st.rerun()
        active = [j for j in reversed(jobs) if j.active]
        if not active:
            last = next((j for j in jobs if not j.resumable and j.dataset == dataset), None)
            messages.empty(
                "Nothing is training",
                "Choose models on the left and press Train. It goes on in a process of its own: "
                "you may change the page or close the browser."
                if last is None
                else f"The last training, of {messages.plain(last.title)}, is done after "
                f"{messages.duration(last.seconds)}.",
                icon=":material/model_training:" if last is None else STATE_ICONS[last.state],
            )
            if last is not None:
                _learning(last)
        for job in active:
            _job(job)


def _job(job: services.Job) -> None:
    with st.container(border=True, key=f"job-{job.id}"):
        head, button = st.columns([3, 1], vertical_alignment="center")
        effort = f" · {job.facts['effort']}" if job.facts.get("effort") else ""
        head.markdown(f"**{messages.plain(job.title)}** · {messages.plain(job.dataset)}{messages.plain(effort)}")
        if button.button(
            "Stop now" if job.cancelling else "Cancel",
            key=f"cancel-{job.id}",
            icon=":material/stop:",
            width="stretch",
            help="What was checkpointed is kept: a training that had come so far can be resumed.",
        ):
            services.cancel(job.id)
            st.rerun(scope="fragment")
        if job.state == "queued":
            st.caption(f"{STATE_ICONS['queued']} Waiting for the training before it.")
            return
        left = f" · about {messages.duration(job.eta)} left" if job.eta else ""
        stage = "stopping after this step…" if job.cancelling else messages.plain(job.stage)
        st.progress(job.share, text=f"{stage} · {messages.percent(job.share, 0)}")
        stuck = " · it has given no sign of life for a minute" if job.progress and job.progress.stuck else ""
        st.caption(f"{messages.duration(job.seconds)} so far{left}{stuck}")
        _learning(job)


def _learning(job: services.Job) -> None:
    """How the loss fell, as long as the training goes on and afterwards."""
    history = pd.DataFrame(job.history)
    if len(history) and history["model"].value_counts().max() > 1:  # one epoch is no line
        charts.show(model_charts.loss(history), f"loss-{job.id}", "Training and held-out loss by epoch")


def _unfinished() -> None:
    """What did not end well, and the way to go on."""
    found = [job for job in services.jobs() if job.resumable]
    for job in found[:SHOWN]:
        _offer(job)
    if len(found) > SHOWN:
        with st.expander(f"{messages.count(len(found) - SHOWN, 'older trainings')} did not end well either"):
            for job in found[SHOWN:]:
                _offer(job)


def _offer(job: services.Job) -> None:
    with st.container(border=True, key=f"unfinished-{job.id}"):
        text, go, drop = st.columns([6, 1.4, 1.4], vertical_alignment="center")
        same = " It would fail again as it is: change that and train below." if job.way_on == "change" else ""
        text.markdown(
            f"{STATE_ICONS[job.state]} **{messages.plain(job.title)}** on {messages.plain(job.dataset)} "
            f"{ENDED[job.state]}{services.how_far(job)}. {messages.plain(services.aftermath(job))}{same}"
        )
        if job.way_on == "resume" and go.button(
            "Resume", key=f"resume-{job.id}", type="primary", icon=":material/play_arrow:", width="stretch"
        ):
            services.resume(job.id)
            st.rerun()
        if job.way_on == "again" and go.button(
            "Train again", key=f"again-{job.id}", type="primary", icon=":material/refresh:", width="stretch",
            help="From the beginning: nothing of it was kept.",
        ):  # fmt: skip
            services.train_again(job.id)
            st.rerun()
        if drop.button("Discard", key=f"discard-{job.id}", icon=":material/delete:", width="stretch"):
            services.discard(job.id)
            st.rerun()


def _compare(info: services.DatasetInfo) -> None:
    st.subheader("Compare", anchor=False)
    splits = services.trained_splits(info)
    if not splits:
        messages.empty(
            "No trained model yet",
            "Once a training is done, its models are compared here.",
            icon=":material/compare_arrows:",
        )
        return
    chosen = st.selectbox(
        "Windows", list(splits), format_func=splits.__getitem__, key="compare-split",
        help="Only models trained and tested on the same windows can be compared.",
    )  # fmt: skip
    rows = services.comparison(info, chosen)
    measured = rows[rows["item_precision"].notna()]
    figure, words = st.columns([3, 2], gap="large")
    with figure:
        measure = st.segmented_control(
            "Measure", list(MEASURES), format_func=lambda m: _first_upper(MEASURES[m]), default="recall", required=True,
            key="compare-measure", help="Of the best one percent of the items, or of the visitors. Interactions per "
            "recommendation are the paper's precision.",
        ) or "recall"  # fmt: skip
        if len(measured):
            said = MEASURES[measure]
            charts.show(
                model_charts.comparison(measured, measure, said),
                "comparison",
                f"{said} of every model in both directions",
            )
    with words:
        _best(rows, measure)
    columns = {
        "model": Column("Model"),
        "item_precision": Column("Item precision", "decimal", "Items for a user: interactions per recommended item"),
        "item_recall": Column("Item recall", "decimal", "Items for a user: share of the interactions found"),
        "item_perplexity": Column("Items reached", "count", "Effective number of items (perplexity)"),
        "user_precision": Column("User precision", "decimal", "Users for an item: interactions per chosen visitor"),
        "user_recall": Column("User recall", "decimal", "Users for an item: share of the interactions found"),
        "user_perplexity": Column("Users reached", "count", "Effective number of visitors (perplexity)"),
        "seconds": Column("Training (s)", "tenths"),
        "created_at": Column("Trained", "time"),
    }
    tables.show(rows, columns, "comparison-table")
    _card(rows)


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _best(rows: pd.DataFrame, measure: str) -> None:
    """What the figures say, in words."""
    for side, task, unit in (("item", "Items for a user", "items"), ("user", "Users for an item", "visitors")):
        known = rows[rows[f"{side}_{measure}"].notna()]
        if len(known):
            best = known.loc[known[f"{side}_{measure}"].idxmax()]
            figure, each = best[f"{side}_{measure}"], messages.count(int(best[f"{side}_size"]), unit)
            found = (
                f"{messages.percent(figure)} of the interactions found"
                if measure == "recall"
                else f"{messages.decimal(figure)} interactions per recommendation"
            )
            st.metric(
                f"Best at: {task.lower()}",
                best["model"],
                f"{found}, {each} each",
                delta_color="off",
                delta_arrow="off",
                border=True,
            )
    if rows["brief"].any():
        st.caption(":material/info: Some models were trained briefly; their figures can still rise.")


def _card(rows: pd.DataFrame) -> None:
    """One model: whether it is calibrated, and its card."""
    names = dict(zip(rows["id"], rows["model"], strict=True))
    st.subheader("One model", anchor=False)
    first = rows["user_precision"].fillna(-1).astype(float).idxmax()
    chosen = st.selectbox("Model", list(names), int(first), format_func=names.__getitem__, key="card-model")
    calibrated, card = st.tabs([":material/balance: Calibration", ":material/badge: Card"], key="model-tabs")
    with calibrated, messages.guard(services.Problem, "show the calibration"):
        _calibration(chosen)
    with card:
        st.markdown(services.card(chosen))


def _calibration(model_id: str) -> None:
    """Whether what a model expects is what happens."""
    key = services.request_reliability(model_id)
    task = services.task(key)
    if task is None or not task.settled:
        _measuring(key)
        return
    if task.state == "failed":
        services.forget(key)
        raise task.error or RuntimeError("no error was kept")
    frame = task.result
    if frame is None:
        st.info(
            "The scores of this model are shares of preference, not expected counts: there is nothing to calibrate. "
            "Multiply it with an intensity.",
            icon=":material/info:",
        )
        return
    expected = float((frame["expected"] * frame["members"])[frame["side"] == "user"].sum())
    happened = float((frame["happened"] * frame["members"])[frame["side"] == "user"].sum())
    ratio = happened / expected if expected else float("nan")
    st.caption(
        f"{messages.count(expected, 'interactions were')} expected in the test window and {messages.count(happened)} "
        f"happened: {messages.percent(ratio, 0)} of what was expected. Marks above the line: more happened."
    )
    sides = (("user", "Visitors, from the quietest to the busiest tenth"), ("item", "Items, from rare to popular"))
    for cell, (side, heading) in zip(st.columns(2, gap="large"), sides, strict=True):
        with cell:
            st.markdown(f"**{heading}**")
            part = frame[frame["side"] == side]
            charts.show(model_charts.reliability(part), f"reliability-{side}", f"{heading}: expected against happened")
    columns = {
        "side": Column("Groups of"),
        "members": Column("Members", "count"),
        "expected": Column("Expected each", "decimal", "Interactions in the test window"),
        "happened": Column("Happened each", "decimal", "Interactions in the test window"),
        "low": Column("Chance from", "decimal", "Where nine of ten Poisson counts of that expectation lie"),
        "high": Column("Chance to", "decimal"),
    }
    tables.beside(frame, columns, "reliability-table")


@st.fragment(run_every=0.6)
def _measuring(key: str) -> None:
    task = services.task(key)
    if task is None or task.settled:
        st.rerun()
    else:
        st.progress(task.share, text=f"{task.stage} · {messages.duration(task.seconds)}")


page()
