"""What stands around every page: whether the workspace could be opened, what is worked on, what is running."""

from __future__ import annotations

import streamlit as st

from app import services
from app.ui import messages
from app.views import address

OLDER = "dataset-older"
MODELS = "Models"
"""The page that shows itself what is training."""
BUSY, IDLE = 2.0, 10.0
"""Seconds between two looks at what is running."""


def ready(page: str) -> bool:
    """Draw the side bar beside ``page``; False (and the reason on the page) when the workspace cannot be opened."""
    try:
        opened = services.workspace()
    except services.Problem as error:
        messages.title("RIM", "The workspace cannot be opened.")
        messages.problem(messages.plain(str(error)))
        st.button("Try again", icon=":material/refresh:")
        return False
    messages.style()
    address.entered(page)
    _dataset_of_the_link()
    _dataset_of_the_address()
    with st.sidebar:
        _dataset_picker()
        if page != MODELS:
            st.fragment(_running, run_every=BUSY if services.active_jobs() else IDLE)()
        st.caption(f":material/folder: {messages.plain(opened.root.name)}", help=f"The workspace: `{opened.root}`")
        address.steps()
    _what_happened()
    _what_is_not_here()
    return True


def _dataset_of_the_address() -> None:
    """An address may name a version that is not the latest, or a dataset that is not here."""
    wanted = st.query_params.get("dataset")
    if not wanted or wanted in _datasets():
        return
    if services.dataset_version(wanted) is not None:
        st.session_state[OLDER] = st.session_state["dataset"] = wanted
    elif address.asked("dataset", "picker") is not None:
        address.not_here("dataset", [messages.plain(wanted)], [messages.plain(d) for d in _datasets()])


def _what_is_not_here() -> None:
    """What the address asked for in vain, until it has been read."""
    if address.missed():
        with st.container(horizontal=True, vertical_alignment="center", key="not-here"):
            st.warning(address.missed(), icon=":material/link_off:")
            st.button("Understood", key="not-here-read", on_click=address.read)


def _dataset_of_the_link() -> None:
    """A link to saved plans opens the dataset of the first that is here, in the version that it was made on."""
    named = [address.asked(word, "dataset") or "" for word in (address.SCENARIO, address.PLANS)]
    found = (services.find_scenario(plan) for plans in named for plan in plans.split(",") if plan)
    scenario = next((plan for plan in found if plan is not None), None)
    if scenario is not None and scenario.dataset_version:
        label = f"{scenario.dataset} v{scenario.dataset_version}"
        st.session_state[OLDER] = label
        if label in _datasets():
            st.session_state["dataset"] = label


def _datasets() -> dict[str, services.DatasetInfo]:
    """By label: the latest version of each, and an older one that a link has asked for."""
    found = {d.label: d for d in services.datasets()}
    older = st.session_state.get(OLDER)
    if older is not None and older not in found:
        info = services.dataset_version(older)
        if info is not None:
            found[older] = info
    return found


def _dataset_picker() -> None:
    """The dataset every page works on; part of the page's address, so that a link reopens it."""
    labels = list(_datasets())
    if labels:
        st.selectbox("Dataset", labels, key="dataset", bind="query-params", help="Every page works on this dataset.")


def _running() -> None:
    """Training that goes on, wherever one is."""
    for job in services.active_jobs():
        st.progress(job.share, text=f":material/model_training: {messages.plain(job.title)}")


def _what_happened() -> None:
    """How the last session ended, until it has been read."""
    if st.session_state.get("recovery-read"):
        return
    text, particulars = services.recovered()
    if text:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/history: {messages.plain(text)}", help=messages.plain(particulars) or None)
            if st.button("Understood", key="recovery-understood"):
                st.session_state["recovery-read"] = True
                services.recovery_read()
                st.rerun()


def split_choice(info: services.DatasetInfo) -> services.SplitChoice:
    """How new models cut this dataset: what was set under Data, or a default that fits it."""
    kept = st.session_state.get(f"split-{info.label}")
    return kept if kept is not None else services.default_split(info)


def keep_split_choice(info: services.DatasetInfo, choice: services.SplitChoice) -> None:
    """Remember what was set under Data."""
    st.session_state[f"split-{info.label}"] = choice


def dataset() -> services.DatasetInfo | None:
    """The dataset chosen in the side bar."""
    found = _datasets()
    return found.get(st.session_state.get("dataset", "")) or next(iter(found.values()), None)
