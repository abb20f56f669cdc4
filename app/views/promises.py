"""The promises of a plan: sliders for all items, a table for single items and groups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from app import services
from app.ui import messages
from app.views import history, pasting

if TYPE_CHECKING:
    from streamlit.elements.lib.column_types import ColumnConfig

NAMED = 5
"""Items that a model does not know, named one by one."""
FITTING = 20
"""Characters of a model's name that the list has room for on a narrow screen; longer ones are said again below it."""
LISTED = 5_000
"""Items up to which a list offers them; of more, ids or titles are typed."""


# -- for all items ---------------------------------------------------------------------------------------------


def sliders(models: list[services.ModelInfo]) -> services.PlanRequest:
    """The sliders; they begin with promises that the items and user-states have places for."""
    names = {m.id: m for m in models}
    if st.session_state.get("plan-model") not in names:
        st.session_state["plan-model"] = services.best_model(models)
    chosen = st.selectbox(
        "Scores of",
        list(names),
        format_func=services.model_names(models).__getitem__,
        key="plan-model",
        persist_state="session",
        help="The model whose expected interactions are planned with.",
    )
    long = len(names[chosen].name) > FITTING
    st.caption(services.model_label(names[chosen]) if long else services.model_split(names[chosen]))
    services.warm_up(chosen)
    size = services.plan_size(chosen)
    capacity = st.slider(
        "Items for each visitor (K)",
        1,
        _capacity_range(size),
        key="plan-capacity",
        persist_state="session",
        help="How many items each visitor can get at most. A visitor is a user at one time: somebody planned for in "
        "two windows counts as two. As a share of all items this is the paper's α.",
    )
    _fitted("plan-capacity", capacity, "K was {:,}, and this model knows fewer items: it is {:,} now.")
    st.caption(f"{messages.percent(capacity / size.items, 2)} of {messages.count(size.items, 'items')}")
    end = _least_range(size, capacity)
    least = st.slider(
        "Every item reaches at least (β)",
        0.0,
        end,
        step=0.01 if end <= 10 else 0.1,
        format="%.2f %%" if end <= 10 else "%.1f %%",
        key="plan-least",
        persist_state="session",
        help="Share of the visitors that each item is promised.",
    )
    _fitted("plan-least", least, "β was {:.6g} %, which the slider has no room for here: it is {:.6g} % now.")
    most = None
    if st.toggle("Limit the popular items", key="plan-limited", persist_state="session"):
        _begin("plan-most", 20.0, 1.0, 100.0)
        most = st.slider(
            "No item reaches more than (β′)",
            1.0,
            100.0,
            step=1.0,
            format="%.0f %%",
            key="plan-most",
            persist_state="session",
            help="Share of the visitors that no item may exceed.",
        )
    sure = st.toggle(
        "Be 90 % sure when delivered",
        key="plan-sure",
        persist_state="session",
        help="Plan every minimum with a margin, so that it is kept nine times out of ten when users come one at a "
        "time. Without it a promise met just so is missed half of the time.",
    )
    seed = int(st.session_state.get("plan-seed", 0))
    share = None if most is None else round(most / 100, 6)
    confidence = services.SURE if sure else None
    return services.PlanRequest(chosen, capacity, round(least / 100, 6), share, seed, confidence=confidence)


def _least_range(size: services.PlanSize, capacity: int) -> float:
    """Upper end of the slider for the minimum exposure; its value stays, whatever the model, and within the range.

    A slider whose range changes is another one to Streamlit: its value is then said explicitly.
    """
    state = st.session_state
    end = max(size.slider_end(capacity), float(state.get("plan-least-room", 0.0)))
    value = state.get("plan-least")
    was, now = state.get(f"plan-least{history.LOWERED}", (None, None))
    if was is not None and value == now and end > now:  # it was lowered for want of room, and there is room again
        value = min(was, end)
        state["plan-least"], state[f"plan-least{history.LOWERED}"] = value, (was, value)
        if value == was:
            del state[f"plan-least{history.LOWERED}"]
    if value is None:
        state["plan-least"] = min(size.half_of_places(capacity), end)
    elif value > end:
        state["plan-least"], state[f"plan-least{history.LOWERED}"] = end, (float(value), end)
    elif state.get("plan-least-end") != end:
        state["plan-least"] = float(value)
    state["plan-least-end"] = end
    return end


def _fitted(slider: str, value: float, said: str) -> None:
    """Say that what was on a slider did not fit it any more, until it is moved; ``said`` takes it before and after."""
    was, now = st.session_state.get(f"{slider}{history.LOWERED}", (0, None))
    if now == value:
        st.caption(f":material/info: {said.format(was, now)}")
    else:
        st.session_state.pop(f"{slider}{history.LOWERED}", None)


def _capacity_range(size: services.PlanSize) -> int:
    """Upper end of the slider for K: wide enough for what was put on it; beyond the number of items it is that."""
    state = st.session_state
    end = size.capacity_end(int(state.get("plan-capacity-room", 0)))
    value = state.setdefault("plan-capacity", size.usual_capacity)
    if value > end:
        state["plan-capacity"], state[f"plan-capacity{history.LOWERED}"] = end, (int(value), end)
    if state.get("plan-capacity-end") != end:  # another range is another slider: its value is said explicitly
        state["plan-capacity"] = int(state["plan-capacity"])
    state["plan-capacity-end"] = end
    return max(2, end)


def _begin(key: str, value: float, low: float, high: float) -> None:
    """A slider's value when it is first shown, and when what it was left at does not fit any more."""
    kept = st.session_state.get(key)
    if kept is None or not low <= kept <= high:
        st.session_state[key] = value


def places(request: services.PlanRequest) -> None:
    """What the promises ask for, in places; said at once, before anything is planned."""
    size = services.plan_size(request.model_id)
    total = services.all_places(request)
    promised = services.promised_places(request)
    if not promised:
        st.caption(f"No minimum is promised: the {messages.short(total)} places go where most is expected.")
        return
    if request.promises:
        bound = "at least " if services.promises_overlap(request) else ""
        st.caption(
            f"Promised: {bound}{messages.count(promised, 'deliveries')}, {messages.percent(promised / total, 0)} of "
            f"the {messages.short(total)} places."
        )
    else:
        st.caption(
            f"Each of {messages.count(size.items, 'items')} is promised "
            f"{messages.count(size.promised(request.min_exposure), 'visitors')}: together "
            f"{messages.percent(promised / total, 0)} of the {messages.short(total)} places."
        )
    if promised > total:
        _too_much(request, size)


def _too_much(request: services.PlanRequest, size: services.PlanSize) -> None:
    """More promised than there are places: how much would fit, each way out a button."""
    most = size.said_exposure(request.capacity)
    lower = f"β of at most {100 * most:.6g} %" if most else "no minimum for all items (there are too many)"
    fits = ["smaller minimums" if request.promises or request.rules.max_per_user is not None else lower]
    capacity = services.fitting_capacity(request)
    if capacity is not None:
        fits.append(f"K of {capacity:,} or more")
    cap = services.fitting_cap(request)
    if cap is not None:
        fits.append(f"{messages.count(cap, 'items')} or more for a user")
    st.warning(
        f"These promises ask for more places than there are. They fit, and leave some free, with {' or '.join(fits)}.",
        icon=":material/warning:",
    )
    ways_out(request, None, "places")


def ways_out(request: services.PlanRequest, result: services.PlanResult | None, key: str, lead: str = "") -> None:
    """One button a relaxation, in a row behind ``lead`` if there is one, and why it is just that much."""
    ways = services.relaxations(request, result)
    with st.container(horizontal=bool(lead), vertical_alignment="center"):
        if lead:
            st.markdown(lead)
        for i, way in enumerate(ways):
            st.button(
                way.label,
                icon=":material/build:",
                key=f"relax-{key}-{i}",
                on_click=history.put,
                args=(way.request,),
                help=f"Then: {messages.plain(way.request.describe())}. It can be undone.",
            )
    for way in ways:
        if way.note:
            st.caption(way.note)


# -- for single items and groups ---------------------------------------------------------------------------------


def table(request: services.PlanRequest) -> services.PlanRequest:
    """The editable table of promises that differ; the request with them.

    What stands in the table is kept when the page is left, and drawn anew when it is changed from elsewhere.
    """
    catalogue = services.catalogue_of(request.model_id)
    state = st.session_state
    if state.get("plan-own-of", request.model_id) != request.model_id:  # it may know other items, and more of a group
        history.put_promises(state.get(history.TABLE, ()))
        history.redraw_rules()
    state["plan-own-of"] = request.model_id
    promises: tuple[services.Promise, ...] = state.get(history.TABLE, ())
    many = f" ({len(promises):,})" if promises else ""
    label = f"Promises for single items and groups{many}"
    with st.expander(label, icon=":material/table_edit:", key="plan-own"):
        _add(catalogue)
        promises = _editor(promises, catalogue)
        _exchange(promises, catalogue)
    state[history.TABLE] = promises
    return replace(request, promises=promises)


def resting(request: services.PlanRequest) -> None:
    """Which promises and rules are about items that this model does not know, and a way to be rid of them."""
    catalogue = services.catalogue_of(request.model_id)
    about = services.resting(request, catalogue)
    if not about:
        return
    with st.container(border=True, key="plan-resting"):
        text, button = st.columns([4, 1], vertical_alignment="center")
        more = f" and {messages.count(len(about) - NAMED)} more" if len(about) > NAMED else ""
        text.warning(
            f"This model does not know {messages.plain(', '.join(about[:NAMED]))}{more}. What is promised or ruled "
            "about them rests: it stays in the tables, and counts again with a model that knows them.",
            icon=":material/bedtime:",
        )
        button.button(
            "Leave them out", icon=":material/playlist_remove:", key="plan-resting-out", width="stretch",
            on_click=history.put, args=(services.known(request, catalogue),), help="It can be undone.",
        )  # fmt: skip


def _add(catalogue: pd.DataFrame) -> None:
    """One more promise, chosen from lists."""
    with st.container(key="own-new"):
        about, which, low, high, go = st.columns([1.3, 2.4, 1, 1, 0.9], vertical_alignment="bottom")
    kind = about.selectbox(
        "About",
        services.abouts(catalogue),
        key="own-kind",
        help="A single item; every item that shares a feature; or those items together, as a share of all places.",
    )
    target: str | None
    if kind != services.ITEM:
        target = which.selectbox("Which", services.group_values(catalogue, kind), key=f"own-target-{kind}")
    elif len(catalogue) <= LISTED:
        titles = catalogue["title"].astype(str).to_dict()
        target = which.selectbox(
            "Which",
            list(titles),
            index=None,
            format_func=lambda i: titles[i] if titles[i] == i else f"{titles[i]} · {i}",
            placeholder="type a part of a title or id",
            key="own-target",
        )
    else:
        target = which.text_input("Which", placeholder="id or title", key="own-target-typed")
    least = low.number_input("At least (%)", 0.0, 100.0, None, step=0.1, key="own-least", placeholder="–")
    most = high.number_input("At most (%)", 0.0, 100.0, None, step=0.1, key="own-most", placeholder="–")
    if go.button("Add", icon=":material/add:", key="own-add", width="stretch", disabled=not target):
        group = "" if kind == services.ITEM else kind
        row = pd.DataFrame([{"applies_to": group, "target": target, "minimum": least, "maximum": most}])
        _add_row(services.promises_from_table(row, catalogue))


def _editor(promises: tuple[services.Promise, ...], catalogue: pd.DataFrame) -> tuple[services.Promise, ...]:
    """The table itself: cells can be edited, rows deleted, and ranges pasted from a spreadsheet."""
    state = st.session_state
    key = f"own-table-{state.get(history.VERSION, 0)}"
    if key not in state:
        state["plan-own-base"] = services.table_of(promises, catalogue)
    if state["plan-own-base"].empty and not promises:
        st.caption(
            "None yet: every item has the promise of the sliders. Add one above, or paste rows from a spreadsheet."
        )
        return ()
    edited: pd.DataFrame = st.data_editor(
        state["plan-own-base"],
        key=key,
        num_rows="dynamic",
        hide_index=True,
        width="stretch",
        placeholder=messages.NONE,
        column_config={
            "applies_to": st.column_config.SelectboxColumn(
                "About",
                options=list(dict.fromkeys([*services.abouts(catalogue), *state["plan-own-base"]["applies_to"]])),
                default=services.ITEM,
            ),
            "target": st.column_config.TextColumn("Which", help="Id or title of the item, or value of the feature"),
            "minimum": _percent("At least"),
            "maximum": _percent("At most"),
            "items": st.column_config.NumberColumn("Items", disabled=True, help="How many items this is about"),
        },
    )
    base = state["plan-own-base"]
    read = services.promises_from_table(edited, catalogue, set(zip(base["applies_to"], base["target"], strict=True)))
    pasting.complaints(read.problems)
    return read.promises


def _percent(label: str) -> ColumnConfig:
    """A column of shares, in percent."""
    return st.column_config.NumberColumn(
        label, help="Share of the visitors", min_value=0.0, max_value=100.0, step=0.001, format="%.4g %%"
    )


def _exchange(promises: tuple[services.Promise, ...], catalogue: pd.DataFrame) -> None:
    """Rows pasted, uploaded or taken away as a file."""

    def take(text: str, every: bool) -> tuple[services.ReadPromises, int]:
        read = services.promises_from_text(text, catalogue)
        replaced = 0
        if read.promises:
            replaced = _put_in(read.promises, () if every else st.session_state[history.TABLE])
        return read, replaced

    caption = (
        "One row a promise: item, at least %, at most %. A fourth column in front names a feature for groups. "
        "A header is welcome."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        pasting.popover("own", caption, "COFFEE\t2.5\nbrand\tPrivate\t1\t30", take)
        st.download_button(
            "Download as CSV",
            lambda: services.promises_to_csv(promises, catalogue),
            file_name="promises.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            key="own-download",
            disabled=not promises,
        )
        if st.button("Clear", icon=":material/delete_sweep:", key="own-clear", disabled=not promises):
            history.put_promises(())
            st.rerun()
    pasting.left_out("own")


def _put_in(new: tuple[services.Promise, ...], before: tuple[services.Promise, ...]) -> int:
    """Put promises into the table beside those before; of two about the same the new one counts. How many made way."""
    history.put_promises(tuple({services.about(p): p for p in (*before, *new)}.values()))
    return len({services.about(p) for p in before} & {services.about(p) for p in new})


def _add_row(read: services.ReadPromises) -> None:
    """Put one promise into the table, or say what it lacks."""
    if read.promises:
        _put_in(read.promises, st.session_state.get(history.TABLE, ()))
        st.rerun()
    pasting.complaints(read.problems)
    if not read.problems:
        st.info("Say at least or at most how much.", icon=":material/arrow_upward:")
