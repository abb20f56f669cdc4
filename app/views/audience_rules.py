"""The rules of an audience: who is left out, how often one is written to, how small a list may be."""

from __future__ import annotations

import streamlit as st

from app import services
from app.ui import messages

NO_LIST = ""


def rules_of() -> services.AudienceRules:
    """The controls, and the rules they stand for."""
    with st.expander(_label(), icon=":material/rule:", key="audience-rules", expanded=_set()):
        left, middle, right = st.columns(3, gap="large")
        with left:
            suppression = _suppression()
        with middle:
            holdout = st.slider(
                "Hold-out group", 0, 50, 0, format="%d %%", key="rule-holdout", persist_state="session",
                help="Users who are written to by nobody, so that the effect of the campaign can be measured. "
                "Drawn by a hash of the user id and the seed: the same users in every file.",
            )  # fmt: skip
            seed = st.number_input("Seed of the hold-out", 0, 10**9, 0, key="rule-seed", persist_state="session")
        with right:
            cap = st.number_input(
                "At most, items a user", 0, 1000, 0, key="rule-cap", persist_state="session",
                help="Frequency cap over all of a user's states; her best deliveries stay. 0 is no cap.",
            )  # fmt: skip
            most = st.number_input(
                "At most, deliveries an item", 0, 10**9, 0, key="rule-most", persist_state="session",
                help="The best of every item stay. 0 is all of them.",
            )  # fmt: skip
            least = st.number_input(
                "At least, users an item", 0, 10**9, 0, key="rule-least", persist_state="session",
                help="Items with fewer users are dropped: small lists say too much about each, and tools refuse them.",
            )  # fmt: skip
    return services.AudienceRules(
        suppression=suppression or None,
        holdout=holdout / 100,
        holdout_seed=int(seed) if holdout else 0,
        max_per_user=int(cap) or None,
        max_size=int(most) or None,
        min_size=int(least),
    )


def _set() -> bool:
    """Whether any rule is in force."""
    keys = ("rule-suppression", "rule-holdout", "rule-cap", "rule-most", "rule-least")
    return any(st.session_state.get(key) for key in keys)


def _label() -> str:
    return "Who is written to, and how often" + ("" if _set() else " (no rules: everybody the plan reaches)")


def _suppression() -> str:
    """Which list of users gets nothing; a new one can be uploaded."""
    lists = {s.id: s for s in services.suppression_lists()}
    if st.session_state.get("rule-suppression") not in {NO_LIST, *lists}:
        st.session_state["rule-suppression"] = NO_LIST
    chosen: str = st.selectbox(
        "Never write to",
        [NO_LIST, *lists],
        format_func=lambda i: (
            f"{lists[i].name} ({messages.count(lists[i].users, 'users')})" if i in lists else "nobody is suppressed"
        ),
        key="rule-suppression",
        persist_state="session",
        help="Users who opted out, complained, or must not be reached.",
    )
    file = st.file_uploader("Add a list", type=["csv", "txt"], key="rule-upload", help="One user id a line.")
    if file is not None and st.session_state.get("rule-uploaded") != file.file_id:
        with messages.guard(services.Problem, "read the list"):
            added = services.add_suppression_list(file.name, file.getvalue())
            st.session_state["rule-uploaded"] = file.file_id
            st.session_state["rule-added"] = added.id
            st.rerun()
    added_id = st.session_state.pop("rule-added", None)
    if added_id in lists:
        st.caption(f":material/check: {messages.plain(lists[added_id].name)} was added: choose it above.")
    return chosen
